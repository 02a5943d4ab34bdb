# What of each part the linker kept: reads its map.
# usage: awk -f firmware/map.awk firmware.map
# Prints `PART FLASH RAM` per part, `own` and `all own` parts last.

function number(hex,    i, v) {
    v = 0
    hex = tolower(substr(hex, 3))
    for (i = 1; i <= length(hex); i++)
        v = v * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return v
}
function part_of(file) {
    if (file ~ /libsodium\.a/)
        return "libsodium"
    if (file ~ /\/lib(c|gcc|m|nosys|g)(_nano)?\.a|crt[0ibne]/)
        return "toolchain"
    if (match(file, /own\/[a-z0-9]+\//))
        return substr(file, RSTART + 4, RLENGTH - 5)
    return "application"
}
/^Linker script and memory map/ { on = 1 }
!on { next }
NF == 1 && $1 ~ /^\.(text|rodata|data|bss)/ { section = $1; next }
{
    i = 2
    if ($1 ~ /^0x/ && section != "")
        i = 1
    else
        section = $1
    if (section ~ /^\.(text|rodata|data|bss)\./ && $(i) ~ /^0x/ && $(i + 1) ~ /^0x/ && number($(i)) > 0) {
        n = number($(i + 1))
        p = part_of($(i + 2))
        if (section ~ /^\.bss/)
            ram[p] += n
        else
            flash[p] += n
        if (section ~ /^\.data/)
            ram[p] += n
        seen[p] = 1
    }
    section = ""
}
END {
    for (p in seen)
        print p, flash[p] + 0, ram[p] + 0
}
