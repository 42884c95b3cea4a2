#!/bin/sh
# Backs up this Mac with plain restic, every day. Run it once with sudo: it sets itself up, and makes the first backup.
# Needs restic (brew install restic). Give restic full disk access in the system's settings, else parts are left out.
set -eu
umask 077
etc=/usr/local/etc/stead-restic
restic=$(command -v restic || echo /opt/homebrew/bin/restic)
mkdir -p "$etc"
cat > "$etc/authority.pem" <<'PEM'
@AUTHORITY@
PEM
if [ ! -s "$etc/password" ]; then
    head -c 32 /dev/urandom | base64 | tr -d '\n' > "$etc/password"
fi
cat > "$etc/backup" <<SCRIPT
#!/bin/sh
export RESTIC_REPOSITORY='@REPOSITORY@'
export RESTIC_PASSWORD_FILE='$etc/password'
export RESTIC_CACERT='@MACCACERT@'
[ -n "\$RESTIC_CACERT" ] || unset RESTIC_CACERT
"$restic" cat config > /dev/null 2>&1 || "$restic" init
exec "$restic" backup --exclude-caches --one-file-system --exclude '/Users/*/Library/Caches' /Users
SCRIPT
chmod 700 "$etc/backup"
cat > /Library/LaunchDaemons/stead.restic.plist <<PLIST
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Label</key><string>stead.restic</string>
<key>ProgramArguments</key><array><string>$etc/backup</string></array>
<key>StartCalendarInterval</key><dict><key>Hour</key><integer>12</integer><key>Minute</key><integer>30</integer></dict>
<key>LowPriorityIO</key><true/>
</dict></plist>
PLIST
chmod 644 /Library/LaunchDaemons/stead.restic.plist
launchctl bootout system/stead.restic 2> /dev/null || true
launchctl bootstrap system /Library/LaunchDaemons/stead.restic.plist
"$etc/backup"
echo "Set up. Keep a copy of $etc/password away from this Mac: without it nobody can read its backups."
