//! Log lines of master and of the commands that steer it.
