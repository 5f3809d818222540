"""Fit one palette to all images, as if they lay side by side."""

import logging

import dask

import bigquant
from bigquant import plot

logging.basicConfig(filename=snakemake.log[0], level=logging.INFO)  # noqa: F821
job = snakemake  # noqa: F821

images = [bigquant.open_image(path) for path in job.input.images]
with dask.config.set(num_workers=job.threads):
    results = bigquant.quantize(
        images, job.params.k, keep=job.params.keep or None, random_state=job.params.seed
    )
palette = results[0].palette
palette.save(job.output.palette, overwrite=True)
plot.swatches(palette).savefig(job.output.swatches)
