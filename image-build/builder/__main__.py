"""`image-build/build --board qemu|pi4`: a card image, its SBOM and the times of the steps."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

import bundle
import debian
import disk
import initrd
import kernel
import root
import sbom
import wheels
from steps import BuildFailed, Steps, digest_of, digest_of_inputs, have, run

REPO = Path(__file__).resolve().parents[2]
HERE = REPO / "image-build"
OURS = ("daemon", "hal", "pipeline", "secure_store", "mqtt", "fleet", "pyproject.toml")
MODELS_KEY = "pipeline/models/manifest.toml"
LARGEST_ROOT = 220 * 1000 * 1000
EXAMPLES = """examples:
  image-build/build --board qemu                 for script/test-image
  image-build/build --board pi4 --out build/pi4  a card for a Raspberry Pi 4
  dd if=build/pi4/disk.img of=/dev/sdX bs=4M conv=fsync
                                                 writes it onto a card
"""


@dataclass(frozen=True)
class Made:
    """What came out; `root_bytes` is the compressed root."""

    image: Path
    board: str
    root_bytes: int
    components: int
    steps_s: dict[str, float]
    total_s: float


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="image-build/build", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    boards = sorted(p.parent.name for p in (HERE / "boards").glob("*/board.toml"))
    parser.add_argument("--board", choices=boards, required=True)
    parser.add_argument("--out", type=Path, help="default: $KINGFISHER_STATE/image/BOARD")
    parser.add_argument("--models", type=Path, help="default: $KINGFISHER_STATE/models, pulled when missing")
    parser.add_argument("--keyring", type=Path, help="CA that signs updates, PEM; default: a throw-away one")
    parser.add_argument("--bundle", action="store_true", help="also update.raucb, for boxes that run an older image")
    parser.add_argument("--signer", type=Path, nargs=2, metavar=("CERT", "KEY"), help="PEM; goes with --keyring")
    parser.add_argument("--json", action="store_true", help="print what was made, and the times, as JSON")
    options = parser.parse_args()
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    cache = os.environ.get("KINGFISHER_IMAGE_CACHE")
    default_cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kingfisher-image"
    try:
        made = build(
            board=disk.Board.load(HERE / "boards" / options.board),
            cache=Path(cache) if cache else default_cache,
            models=options.models or state / "models",
            keyring=options.keyring,
            bundled=options.bundle,
            signer=options.signer,
            out=options.out or state / "image" / options.board,
        )
    except BuildFailed as failed:
        print(f"image-build: {failed}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(asdict(made), indent=2, default=str))
    else:
        print(f"{made.image}\nroot {made.root_bytes / 1e6:.1f} MB compressed, {made.components} components")
    return 0


def build(
    *, board: disk.Board, cache: Path, models: Path, keyring: Path | None, bundled: bool,
    signer: tuple[Path, Path] | None, out: Path,
) -> Made:  # fmt: skip
    """Every step in its order. Raises BuildFailed."""
    if (keyring is None) != (signer is None) and bundled:
        raise BuildFailed("the bundle", "--keyring and --signer go together", "or neither: a throw-away CA signs it")
    began_s = time.monotonic()
    if os.geteuid() != 0:
        raise BuildFailed(
            "image-build", "needs root: it runs the box's own Python in a chroot", "sudo image-build/build …"
        )
    have((
        *(("rauc",) if bundled else ()), "mmdebstrap", "qemu-aarch64-static", "arch-test", "genimage", "mcopy",
        "mkfs.vfat", "mke2fs", "mksquashfs",
        "mkimage", "mkenvimage", "depmod", "systemd-sysusers", "openssl",
    ))  # fmt: skip
    steps = Steps(cache)
    code = {p.stem: p.read_text() for p in (HERE / "builder").glob("*.py")}
    version = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["version"]
    packages = debian.package_names(HERE / "packages.txt")
    lock = REPO / "script/locks/box.txt"
    print(f"Building the image for {board.machine} (cache {cache})", file=sys.stderr, flush=True)

    debs = steps.make("unpacked", {"names": debian.UNPACKED, "kernel": debian.KERNEL, "code": code["debian"]},
                      debian.unpack_only)  # fmt: skip
    third_party = steps.make("wheels", {"lock": lock.read_text(), "code": code["wheels"]},
                             lambda into: wheels.download(lock, into))  # fmt: skip
    chosen = _models(models, board)
    tar = steps.make("debian", {"packages": packages, "suite": debian.SUITE, "unwanted": debian.UNWANTED},
                     lambda into: debian.bootstrap(packages, into))  # fmt: skip
    base = steps.make("base", {"tar": tar.name, "wheels": third_party.name, "removed": root.REMOVED,
                               "pruned": wheels.PRUNED},
                      lambda into: root.base(tar / "root.tar", third_party, into))  # fmt: skip
    own = steps.make("own", {"files": digest_of(REPO / name for name in OURS)},
                     lambda into: wheels.build_own(REPO, into))  # fmt: skip
    # RAUC signs by CMS, which knows no Ed25519 yet.
    throw_away = {"purpose": "throw-away", "key": "P-256"}
    keys = keyring or steps.make("update-ca", throw_away, _throw_away_ca) / "ca.pem"
    tree_inputs = {
        "base": base.name, "own": own.name, "debs": debs.name, "models": digest_of(chosen), "board": board.name,
        "files": digest_of([REPO / "systemd", HERE / "root", board.folder]), "keys": digest_of([keys]),
        "code": code["root"] + code["kernel"],
    }  # fmt: skip

    def fill(into: Path) -> None:
        root.assemble(
            base_root=base / "root", own=own, linux=debs / "linux", models=chosen, repo=REPO, board=board.name,
            keyring=keys, version=version, build=digest_of_inputs(tree_inputs), into=into,
        )  # fmt: skip
        sbom.write(into / "root", debs / "debs", chosen, f"kingfisher-{board.name}", version, into / "sbom.json")
        root.squash(into / "root", into / "root.squashfs", _epoch())
        names = run("sh", "-c", f"cd '{into}/root/usr/lib/modules' && ls").split()
        initrd.build(into / "root/usr/lib/modules" / names[0], debs / "busybox-static/usr/bin/busybox",
                     HERE / "initrd-init", into)  # fmt: skip
        shutil.rmtree(into / "root")

    tree = steps.make("root", {**tree_inputs, "initrd": code["initrd"] + (HERE / "initrd-init").read_text(),
                               "sbom": code["sbom"]}, fill)  # fmt: skip

    def assemble(into: Path) -> None:
        disk.boot_files(board, debs, tree / "initrd.gz", HERE / "boards/boot.cmd", into)
        disk.card(board, HERE / "boards/genimage.cfg", into / "boot", tree / "root.squashfs", into)
        shutil.rmtree(into / "boot")

    card = steps.make("card", {"tree": tree.name, "debs": debs.name, "code": code["disk"] + code["uboot"],
                               "files": digest_of([HERE / "boards/boot.cmd", HERE / "boards/genimage.cfg",
                                                   board.folder])}, assemble)  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    if bundled:
        certificate, key = signer if signer else (keys, keys.with_suffix(".key"))
        update = steps.make("bundle", {"tree": tree.name, "debs": debs.name, "signer": digest_of([certificate, key]),
                                       "code": code["bundle"], "hook": digest_of([HERE / "bundle-hook"])},
                            lambda into: bundle.make(
                                board=board.name, version=version, squashfs=tree / "root.squashfs",
                                kernel=kernel.image(debs / "linux"), initrd=tree / "initrd.gz",
                                hook=HERE / "bundle-hook", signer=bundle.Signer(certificate, key, keys),
                                into=into / "update.raucb"))  # fmt: skip
        run("cp", "--reflink=auto", update / "update.raucb", out / "update.raucb")
        if keyring is None:
            run("cp", "-rT", keys.parent, out / "update-ca")  # with it a test can sign what no operator would
    for name, source in (("disk.img", card), ("u-boot.bin", card), ("boot.cmd", card), ("sbom.json", tree)):
        run("cp", "--sparse=always", "--reflink=auto", source / name, out / name)
    root_bytes = (tree / "root.squashfs").stat().st_size
    if root_bytes > LARGEST_ROOT:
        raise BuildFailed("the root", f"{root_bytes} bytes compressed, at most {LARGEST_ROOT} are allowed")
    total_s = time.monotonic() - began_s
    print(f"  {'all of it':10} {total_s:7.1f} s", file=sys.stderr, flush=True)
    components = len(json.loads((out / "sbom.json").read_text())["components"])
    return Made(
        image=out / "disk.img", board=board.name, root_bytes=root_bytes, components=components,
        steps_s={name: round(took, 1) for name, took in steps.took_s.items()}, total_s=round(total_s, 1),
    )  # fmt: skip


def _models(folder: Path, board: disk.Board) -> list[Path]:
    """The files of the set that the board's settings name, verified; pulled where they are missing."""
    settings = tomllib.loads((board.folder / "root/etc/kingfisher/box.toml").read_text())
    wanted = ["--set", settings["face"].get("set", "default"), "--folder", str(folder), "--json"]
    for action in ("verify", "pull"):
        command = [sys.executable, "-I", "-m", "daemon.cli.main", "models", action, *wanted]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return sorted(folder / report["file"] for report in json.loads(done.stdout))
    raise BuildFailed("the models", f"are not in {folder} and could not be pulled", "kingfisher models pull")


def _throw_away_ca(into: Path) -> None:
    """A CA for updates that belongs to this machine alone: never for a box that is sold."""
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
        "-keyout", into / "ca.key",
        "-out", into / "ca.pem", "-subj", "/CN=Kingfisher throw-away update CA",
    )  # fmt: skip
    (into / "ca.key").chmod(0o600)


def _epoch() -> int:
    """The time that all files of the image carry: that of the last commit, or a fixed one without git."""
    done = subprocess.run(["git", "-C", str(REPO), "log", "-1", "--format=%ct"], capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 1_700_000_000


if __name__ == "__main__":
    sys.exit(main())
