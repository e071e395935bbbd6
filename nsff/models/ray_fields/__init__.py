"""Two fields sampled along rays, as NSFF and SAFF have them, and planes in the place of their networks."""
