# The machine's first process, until it makes way for systemd: on the Debian root, over which everything written goes to memory, with the
# job, the libraries and our packages where the container tests have them. Settings as in init.sh.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs none /tmp
mkdir /tmp/written /tmp/work
mount -t overlay -o lowerdir=/,upperdir=/tmp/written,workdir=/tmp/work none /mnt
mount --bind /checkout /mnt/checkout
mount -t hostfs -o "$job_directory" none /mnt/job
mount -t hostfs -r -o "$libraries" none "/mnt$site"
for package in firmware hal tools; do mount --bind "/checkout/$package" "/mnt/usr/lib/python3/dist-packages/$package"; done
for place in proc dev; do mount --move /$place /mnt/$place; done
cd /mnt
mount --no-mtab --move . /
exec chroot . /sbin/init
