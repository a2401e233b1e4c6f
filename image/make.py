"""./dev image: Weir's images from the programs of a build, as archives in build/images. No engine, no registry.

    make.py [--programs build/release/bin] [--out build/images] [--tag VERSION]
"""

import argparse
import pathlib
import re
import sys

import archive
import rootfs

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def version():
    """The version of the project, as CMakeLists.txt has it."""
    return re.search(r"project\(\s*weir\s+VERSION\s+([\d.]+)", (REPOSITORY / "CMakeLists.txt").read_text()).group(1)


def make(programs=REPOSITORY / "build" / "release" / "bin", out=REPOSITORY / "build" / "images", tag=None):
    """{image: archive} of all images; each carries the names weir/IMAGE:TAG and, for containerd, localhost's."""
    made = {}
    for image, (_, entrypoint, user) in rootfs.IMAGES.items():
        tree = rootfs.weir(image, programs)
        target, name = pathlib.Path(out) / f"weir-{image}.tar", f"weir/{image}:{tag or version()}"
        digest = archive.write(target, [name, f"docker.io/{name}"], tree, entrypoint=entrypoint, user=user,
                               labels={"org.opencontainers.image.title": f"weir/{image}",
                                       "org.opencontainers.image.licenses": "Apache-2.0"})
        made[image] = target
        print(f"{name}  {target.stat().st_size / 1e6:.0f} MB  {len(tree.entries)} files  sha256:{digest[:16]}  {target}")
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default=REPOSITORY / "build" / "release" / "bin")
    parser.add_argument("--out", default=REPOSITORY / "build" / "images")
    parser.add_argument("--tag")
    told = parser.parse_args()
    try:
        make(told.programs, told.out, told.tag)
    except rootfs.ImageError as error:
        sys.exit(f"./dev image: {error}")
