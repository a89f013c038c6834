#!/bin/bash
# Inside the test machine: unpack what came on the second disk into the tester's home, run ./job there as a login session
# does, pass on what it says, tell its exit code, switch off.
ports=/dev/virtio-ports
for ((i = 0; i < 300; i++)); do
    [[ -e $ports/code && -e $ports/said && -S /run/user/1000/bus ]] && break
    sleep 0.1
done
ip link set lo up
# A route that leads nowhere: the network programs of containers want one to copy.
ip link add nowhere type dummy && ip address add 192.0.2.2/24 dev nowhere && ip link set nowhere up && ip route add default via 192.0.2.1
code=125
if runuser -u tester -- tar -x -f - -C /home/tester </dev/vdb; then
    mkfifo -m 666 /run/said
    cat /run/said >"$ports/said" &
    runuser -l tester -c 'exec bash ./job' </dev/null >/run/said 2>&1
    code=$?
    for ((i = 0; i < 30 && $(jobs -r | wc -l); i++)); do sleep 0.1; done # something left behind may hold the pipe
fi
echo "$code" >"$ports/code"
sync
systemctl poweroff --force --force
