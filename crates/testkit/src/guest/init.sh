#!/bin/sh
# The first process of a guest: makes it a machine, and runs the scripts that come in, one a line, as base64.
export PATH=/sbin:/bin DM_DISABLE_UDEV=1 HOME=/root LC_ALL=C TMPDIR=/tmp
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /run/lvm /run/lock/lvm /run/cryptsetup /dev/shm
ln -s /proc/mounts /etc/mtab
ln -s /bin/modprobe /sbin/modprobe
for module in $(cat /etc/modules); do modprobe "$module"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=mmap shared /shared 2>/dev/null

for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name")" = control ] && control=/dev/${port##*/}
done
exec 3<>"$control"
echo ready >&3
while read -r line <&3; do
    echo "$line" | base64 -d >/tmp/script
    sh /tmp/script </dev/null >/tmp/output 2>&1
    status=$?
    echo "$status $(base64 /tmp/output | tr -d '\n')" >&3
done
poweroff -f
