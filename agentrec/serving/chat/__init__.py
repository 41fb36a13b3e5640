"""Chat models for agents: one client with retries, repairs, a budget and a ledger, over backends that a name picks."""
