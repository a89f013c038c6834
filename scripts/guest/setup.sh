#!/bin/bash
# Run by scripts/vm build as root, on the unpacked Debian at $1: what the test machine has besides its packages.
set -euo pipefail
root=$1
here=$(cd "$(dirname "$0")" && pwd)

write() { mkdir -p "$root$(dirname "$1")" && cat >"$root$1"; }

# The kernel's files alone: installed as a package it would bring the tools that make an initrd of 30 MB.
image=$(chroot "$root" apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2 }')
chroot "$root" bash -c "cd /tmp && apt-get download -qq -o APT::Sandbox::User=root '$image'"
dpkg-deb --fsys-tarfile "$root"/tmp/linux-image-*.deb | tar -x -C "$root" --keep-directory-symlink ./boot ./lib/modules
rm "$root"/tmp/linux-image-*.deb
release=$(ls "$root/lib/modules")
rm -rf "$root/lib/modules/$release/kernel"/{sound,drivers/{gpu,infiniband,scsi,hid,target},fs/{ocfs2,ceph,smb,nfs,nfsd}}
chroot "$root" depmod "$release"

# The user of the tests: subordinate ids, and a systemd that runs without a login and is handed every controller.
chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash tester
echo tester:100000:65536 | tee "$root/etc/subuid" >"$root/etc/subgid"
mkdir -p "$root/var/lib/systemd/linger" && touch "$root/var/lib/systemd/linger/tester"
write /etc/systemd/system/user@.service.d/delegate.conf <<'E2'
[Service]
Delegate=cpu cpuset io memory pids
E2

echo rpod-vm | write /etc/hostname
echo '127.0.0.1 localhost rpod-vm' | write /etc/hosts
echo '/dev/vda / ext4 noatime 0 0' | write /etc/fstab
printf '%s\n' overlay fuse tun virtio_console | write /etc/modules-load.d/rpod.conf
: | write /etc/machine-id
install -D -m 755 "$here/agent.sh" "$root/usr/local/sbin/rpod-vm-agent"
write /etc/systemd/system/rpod-vm-agent.service <<'E2'
[Unit]
Wants=user@1000.service
After=user@1000.service systemd-modules-load.service systemd-user-sessions.service
[Service]
ExecStart=/usr/local/sbin/rpod-vm-agent
StandardOutput=journal+console
StandardError=journal+console
IgnoreSIGPIPE=no
[Install]
WantedBy=multi-user.target
E2
chroot "$root" systemctl --quiet enable rpod-vm-agent.service
chroot "$root" systemctl --quiet mask getty.target getty@.service serial-getty@.service apt-daily.timer \
    apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-timesyncd.service systemd-tmpfiles-clean.timer systemd-pstore.service systemd-random-seed.service

# What starts before the disk is there: busybox and the modules that reach it.
start=$root/initrd
mkdir -p "$start"/{bin,dev,lib,root}
cp "$root/bin/busybox" "$start/bin/"
install -m 755 "$here/init.sh" "$start/init"
for module in virtio_pci virtio_blk crc32c_generic; do
    chroot "$root" modprobe --set-version "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$root$file" "$start/lib/"
    echo "/lib/${file##*/}" >>"$start/modules"
done
chroot "$root" sh -c 'cd /initrd && busybox find . | busybox cpio -o -H newc 2>/dev/null' >"$RPOD_VM_NEW/initrd"
cp "$root"/boot/vmlinuz-* "$RPOD_VM_NEW/vmlinuz"
rm -rf "$start" "$root"/boot/* "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
