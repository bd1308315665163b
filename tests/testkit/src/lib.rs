//! What every test ring shares: instances, namespaces, scripted DNS, sinks.
