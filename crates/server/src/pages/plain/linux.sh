#!/bin/sh
# Backs up this machine with plain restic, every day. Run it once as root: it sets itself up, and makes the first backup.
# Needs restic (apt install restic, dnf install restic) and systemd.
set -eu
umask 077
etc=/etc/stead-restic
mkdir -p "$etc"
cat > "$etc/authority.pem" <<'PEM'
@AUTHORITY@
PEM
if [ ! -s "$etc/password" ]; then
    head -c 32 /dev/urandom | base64 | tr -d '\n' > "$etc/password"
fi
cat > "$etc/environment" <<'ENVIRONMENT'
RESTIC_REPOSITORY=@REPOSITORY@
RESTIC_PASSWORD_FILE=/etc/stead-restic/password
RESTIC_CACERT=@CACERT@
ENVIRONMENT
cat > /etc/systemd/system/stead-restic.service <<'UNIT'
[Unit]
Description=Backup with restic
After=network-online.target
Wants=network-online.target
[Service]
Type=oneshot
EnvironmentFile=/etc/stead-restic/environment
Environment=XDG_CACHE_HOME=/var/cache
ExecStart=restic backup --exclude-caches --one-file-system --exclude /var/cache --exclude /var/tmp --exclude /tmp /
Nice=10
IOSchedulingClass=idle
UNIT
cat > /etc/systemd/system/stead-restic.timer <<'UNIT'
[Unit]
Description=Backup with restic every day
[Timer]
OnCalendar=*-*-* 12:30
RandomizedDelaySec=30min
Persistent=true
[Install]
WantedBy=timers.target
UNIT
set -a
. "$etc/environment"
set +a
restic cat config > /dev/null 2>&1 || restic init
systemctl daemon-reload
systemctl enable --now stead-restic.timer
systemctl start stead-restic.service
echo "Set up. Keep a copy of $etc/password away from this machine: without it nobody can read its backups."
