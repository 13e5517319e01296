# The way of every start, compiled by mkimage: choose a slot, count the try down, boot it. Sourced by the boot loader's bootcmd, which
# resets when this comes back. The board's own settings ([boot] of its board.toml) are put before it.
setenv scratch ${ramdisk_addr_r}
setenv BOOT_ORDER "A B"
setenv BOOT_A_LEFT 3
setenv BOOT_B_LEFT 3
# Only these three names are taken from the card's own file, and only when its CRC is right.
if load ${devtype} ${devnum}:1 ${scratch} kingfisher.env; then
  env import -c ${scratch} ${filesize} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
fi

setenv slot
for s in ${BOOT_ORDER}; do
  if test -n "${slot}"; then
    true
  elif test "${s}" = "A"; then
    if test ${BOOT_A_LEFT} -gt 0; then
      setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
      setenv slot A
    fi
  elif test "${s}" = "B"; then
    if test ${BOOT_B_LEFT} -gt 0; then
      setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
      setenv slot B
    fi
  fi
done
# Every try of both slots is used up: better to try again for ever than to stay dark.
if test -z "${slot}"; then
  echo "kingfisher: both slots have failed, their counters start over"
  setenv BOOT_A_LEFT 3
  setenv BOOT_B_LEFT 3
  setenv slot A
  setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
fi
env export -c -s 0x4000 ${scratch} BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT
fatwrite ${devtype} ${devnum}:1 ${scratch} kingfisher.env 0x4000

echo "kingfisher: slot ${slot}, tries left A ${BOOT_A_LEFT} B ${BOOT_B_LEFT}"
setenv bootargs "root=PARTLABEL=root-${slot} rauc.slot=${slot} ro systemd.gpt_auto=0 fsck.repair=yes panic=10 loglevel=4 vt.global_cursor_default=0 TERM=dumb ${board_args}"
if load ${devtype} ${devnum}:1 ${kernel_addr_r} ${slot}/Image; then
  if load ${devtype} ${devnum}:1 ${ramdisk_addr_r} ${slot}/initrd.gz; then
    booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${board_fdt}
  fi
fi
