"""The coefficients of a study's B0, by a response surface or by the paper's grid."""
