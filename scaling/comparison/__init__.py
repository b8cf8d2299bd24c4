"""Does compound scaling beat the alternatives on a study's images?

Every rule makes a network of the study's B0 that costs the same counted macs, and all are trained
alike. EfficientNet's Table 7 and Figure 8 ask this of single axes on ImageNet with one training
each; here the cost is counted, the trainings are repeated, and differences have intervals.
"""
