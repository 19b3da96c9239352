# The machine's first process: file systems, then the job that the kernel's command line names, then the power switch.
# `job`, `job_directory`, `libraries` and `site` come from that line, as the kernel hands unknown settings to init.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8
for directory in tmp run mnt var/lib; do mount -t tmpfs none /$directory; done
mount -t sysfs none /sys
mount -t configfs none /sys/kernel/config
mkdir -p /dev/pts && mount -t devpts none /dev/pts
mount -t hostfs -o "$job_directory" none /job
mount -t hostfs -r -o "$libraries" none "$site"
ip link set lo up
cd /tmp
export PYTHONPATH=/checkout:/checkout/tests/machine PYTHONDONTWRITEBYTECODE=1 PYTHONPYCACHEPREFIX=/checkout/.cache/bytecode
python3 -P -c "
import importlib
importlib.import_module('jobs.$job').run()" >/job/stdout 2>/job/stderr
echo $? >/job/code
dmesg >/job/dmesg
sync
echo o >/proc/sysrq-trigger
sleep 60
