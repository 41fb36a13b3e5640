"""Workflows of agents, each with its own world: recommender search, simulated users, inventory, sanitising."""
