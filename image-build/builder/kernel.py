"""Debian's kernel, cut to the modules a box can use."""

from __future__ import annotations

import shutil
from pathlib import Path

from steps import BuildFailed, run

# Folders (or single modules) below kernel/; what these need is kept with them.
WANTED = (
    "drivers/input/evdev", "drivers/input/joydev", "drivers/input/misc/uinput", "drivers/input/keyboard/matrix",
    "drivers/input/keyboard/gpio_keys", "drivers/input/touchscreen/edt", "drivers/input/touchscreen/goodix",
    "drivers/input/touchscreen/raspberrypi", "drivers/hid/hid", "drivers/hid/usbhid",
    "drivers/media/usb/uvc", "drivers/media/test-drivers/vivid", "drivers/media/platform/broadcom",
    "drivers/media/platform/bcm", "drivers/media/v4l2-core", "drivers/media/common",
    "drivers/gpu/drm/vc4", "drivers/gpu/drm/v3d", "drivers/gpu/drm/virtio", "drivers/gpu/drm/tiny",
    "drivers/gpu/drm/panel/panel-raspberrypi", "drivers/gpu/drm/panel/panel-simple", "drivers/gpu/drm/bridge/tc358762",
    "drivers/video/backlight", "drivers/block/virtio_blk", "drivers/block/loop", "drivers/virtio",
    "drivers/char/virtio_console", "drivers/char/tpm", "drivers/char/hw_random",
    "drivers/net/virtio_net", "drivers/net/ethernet/broadcom/genet", "drivers/net/phy", "drivers/net/mdio",
    "drivers/net/usb/lan78xx", "drivers/net/usb/smsc95xx", "drivers/net/usb/cdc_ether", "drivers/net/usb/r8152",
    "drivers/net/usb/ax88179", "drivers/mmc", "drivers/usb/host", "drivers/usb/dwc2", "drivers/usb/serial",
    "drivers/usb/class/cdc-acm", "drivers/watchdog/bcm2835_wdt", "drivers/watchdog/i6300esb",
    "drivers/watchdog/softdog", "drivers/i2c", "drivers/spi/spi-bcm2835", "drivers/spi/spidev", "drivers/gpio",
    "drivers/pinctrl/bcm", "drivers/pwm", "drivers/leds", "drivers/clk", "drivers/regulator", "drivers/reset",
    "drivers/firmware", "drivers/mailbox", "drivers/pmdomain", "drivers/soc/bcm", "drivers/thermal/broadcom",
    "drivers/hwmon/raspberrypi", "drivers/rtc", "drivers/nvmem", "drivers/dma/bcm2835", "drivers/pci/controller",
    "drivers/tty/serial", "drivers/cpufreq/raspberrypi", "drivers/phy/broadcom", "drivers/md/dm-mod",
    "drivers/md/dm-verity", "sound/usb/snd-usb-audio", "sound/soc/bcm/snd-soc-bcm2835",
    "fs/squashfs", "fs/ext4", "fs/fat", "fs/nls/nls_ascii", "fs/nls/nls_cp437", "fs/nls/nls_iso8859-1",
    "fs/nls/nls_utf8", "fs/autofs", "fs/overlayfs", "fs/fuse/fuse", "fs/pstore", "net/ipv6/ipv6",
    "net/packet", "net/unix", "net/sched/sch_fq_codel", "crypto", "arch/arm64/crypto", "lib",
)  # fmt: skip


def install(linux: Path, root: Path) -> str:
    """Puts the wanted modules into `root/usr/lib/modules`; the kernel's version. Raises BuildFailed."""
    found = [*linux.glob("usr/lib/modules/*"), *linux.glob("lib/modules/*")]
    if len(found) != 1:
        raise BuildFailed("the kernel package", f"holds {len(found)} kernels")
    source, version = found[0], found[0].name
    target = root / "usr/lib/modules" / version
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        if (source / name).exists():
            shutil.copy(source / name, target)
    # Needs are looked up once over all modules, before any is left out.
    if not (source / "modules.dep").exists():
        base = linux / ("usr" if source.parts[-4] == "usr" else "")
        run("depmod", "-b", base, version)
    needs = dict(line.split(":", 1) for line in (source / "modules.dep").read_text().splitlines())
    wanted = {path for path in needs if path.removeprefix("kernel/").startswith(WANTED)}
    for path in list(wanted):
        wanted.update(needs[path].split())
    for path in sorted(wanted):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / path, target / path)
    run("depmod", "-b", root / "usr", version)
    return version


def image(linux: Path) -> Path:
    [kernel] = linux.glob("boot/vmlinuz-*")
    return kernel


def device_trees(linux: Path) -> Path:
    [folder] = linux.glob("usr/lib/linux-image-*")
    return folder
