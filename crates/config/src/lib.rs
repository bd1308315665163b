//! main.cf and master.cf: values, defaults, origins and errors with file and line.
