rule fit_palette:
    # every pixel of every image is counted, once
    input:
        images=list(samples["path"]),
    output:
        palette="results/palette.json",
        swatches="results/swatches.png",
    params:
        k=config["k"],
        keep=config["keep"],
        seed=config["seed"],
    log:
        "logs/fit_palette.log",
    threads: workflow.cores
    script:
        "../scripts/fit_palette.py"


rule apply_palette:
    input:
        palette="results/palette.json",
        image=lambda wildcards: samples.at[wildcards.sample, "path"],
    output:
        image="results/{sample}.tif",
        palette="results/{sample}.tif.palette.json",
    log:
        "logs/apply_palette/{sample}.log",
    threads: 2
    shell:
        "bigquant apply {input.palette} {input.image} -o {output.image} --overwrite --json "
        "> {log} 2>&1"


rule apply_palette_to_zarr:
    input:
        palette="results/palette.json",
        image=lambda wildcards: samples.at[wildcards.sample, "path"],
    output:
        image=directory("results/{sample}.zarr"),
        palette="results/{sample}.zarr.palette.json",
    log:
        "logs/apply_palette/{sample}.log",
    threads: 2
    shell:
        "bigquant apply {input.palette} {input.image} -o {output.image} --overwrite --json "
        "> {log} 2>&1"
