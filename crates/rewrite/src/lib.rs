//! Address rewriting and resolution: from an address to transport and nexthop.
