"""Written reasonings: kept, filtered, masked, spoilt on purpose, and looked at by people."""
