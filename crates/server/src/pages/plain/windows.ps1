# Backs up this computer with plain restic, every day, from a shadow copy of the volume. Run it once in PowerShell as
# administrator: it sets itself up, and makes the first backup. Needs restic.exe (winget install restic.restic).
$ErrorActionPreference = 'Stop'
$etc = Join-Path $env:ProgramData 'stead-restic'
New-Item -ItemType Directory -Force $etc | Out-Null
icacls $etc /inheritance:r /grant 'SYSTEM:(OI)(CI)F' 'Administrators:(OI)(CI)F' | Out-Null
Set-Content -Encoding ascii (Join-Path $etc 'authority.pem') @'
@AUTHORITY@
'@
$password = Join-Path $etc 'password'
if (-not (Test-Path $password)) {
    $bytes = New-Object byte[] 32
    [Security.Cryptography.RandomNumberGenerator]::Create().GetBytes($bytes)
    Set-Content -NoNewline -Encoding ascii $password ([Convert]::ToBase64String($bytes))
}
$restic = (Get-Command restic.exe).Source
$backup = Join-Path $etc 'backup.ps1'
Set-Content -Encoding utf8 $backup @"
`$env:RESTIC_REPOSITORY = '@REPOSITORY@'
`$env:RESTIC_PASSWORD_FILE = '$password'
`$cacert = '@WINCACERT@'
if (`$cacert) { `$env:RESTIC_CACERT = Join-Path '$etc' 'authority.pem' }
& '$restic' cat config *> `$null
if (`$LASTEXITCODE -ne 0) { & '$restic' init }
& '$restic' backup --use-fs-snapshot --exclude-caches --exclude 'C:\Windows' --exclude 'C:\pagefile.sys' --exclude 'C:\hiberfil.sys' --exclude 'C:\swapfile.sys' C:\
exit `$LASTEXITCODE
"@
$action = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument "-NoProfile -ExecutionPolicy Bypass -File `"$backup`""
$trigger = New-ScheduledTaskTrigger -Daily -At 12:30 -RandomDelay (New-TimeSpan -Minutes 30)
$settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -ExecutionTimeLimit 0
$who = New-ScheduledTaskPrincipal -UserId 'SYSTEM' -LogonType ServiceAccount -RunLevel Highest
Register-ScheduledTask -Force -TaskName 'stead-restic' -Action $action -Trigger $trigger -Settings $settings -Principal $who | Out-Null
Start-ScheduledTask -TaskName 'stead-restic'
Write-Output "Set up. Keep a copy of $password away from this computer: without it nobody can read its backups."
