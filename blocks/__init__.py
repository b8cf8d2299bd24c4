"""What a network is and costs: specification, modules, arithmetic cost."""
