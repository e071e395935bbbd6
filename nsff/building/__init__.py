"""Building gsplat, the rasteriser of CUDA devices: its compilers, the build itself, and where builds lie."""
