"""Training a network for good: recipes, known weights, distillation, and never a lost hour."""
