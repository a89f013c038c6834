#!/bin/busybox sh
# The first program of the test machine: reach the disk, go on from there.
/bin/busybox mount -t devtmpfs devices /dev
while read -r module; do /bin/busybox insmod "$module"; done </modules
until /bin/busybox mount -t ext4 -o noatime /dev/vda /root 2>/dev/null; do /bin/busybox usleep 50000; done
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
