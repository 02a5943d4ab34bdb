#!/bin/bash
# The chart of docs/assignment.md: what share of the slots devices mine whose owners
# lead the chain and bend its seed, by policy, beside the bound; as SVG.
# usage: tools/lottery-chart.sh POA >docs/lottery-share.svg   (make docs-charts)
set -euo pipefail
poa=${1:?usage: tools/lottery-chart.sh POA}

for policy in vrf random weighted; do
    for part in 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4; do
        "$poa" lottery simulate --devices 1000 --slots 30000 --policy $policy --malicious $part --json |
            jq -r '"\(.policy) '$part' \(.malicious_share) \(.malicious_bound)"'
    done
done | awk '
function x(p) { return sprintf("%.1f", left + p / 0.4 * width) }
function y(s) { return sprintf("%.1f", top + height - s / 0.7 * height) }
BEGIN {
    left = 64; top = 20; width = 560; height = 340
    colour["vrf"] = "#1f5fbf"; colour["random"] = "#1b7f3b"; colour["weighted"] = "#e07b00"
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 420\" width=\"800\" height=\"420\" font-family=\"sans-serif\" font-size=\"13\">"
    print "<title>Share of the slots mined by devices of colluding leaders</title>"
    print "<rect width=\"800\" height=\"420\" fill=\"#ffffff\"/>"
    for (s = 0; s <= 0.701; s += 0.1) {
        printf "<path d=\"M%d %s H%d\" stroke=\"#dddddd\"/>\n", left, y(s), left + width
        printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#222222\">%d %%</text>\n", left - 8, y(s) + 4, s * 100 + 0.5
    }
    for (p = 0; p <= 0.401; p += 0.1)
        printf "<text x=\"%s\" y=\"%d\" text-anchor=\"middle\" fill=\"#222222\">%d %%</text>\n", x(p), top + height + 18, p * 100 + 0.5
    printf "<path d=\"M%d %d V%d H%d\" fill=\"none\" stroke=\"#222222\"/>\n", left, top, top + height, left + width
    printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#222222\">devices that colluding leaders own (10 of 31)</text>\n", left + width / 2, top + height + 42
    printf "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">slots mined by them</text>\n", top + height / 2
}
{
    policy = $1
    if (!(policy in points)) { order[++n] = policy; points[policy] = x(0) "," y(0) }
    points[policy] = points[policy] " " x($2) "," y($3)
    end[policy] = $3
    if (policy == "vrf") { bound = bound " " x($2) "," y($4); bound_end = $4 }
}
END {
    printf "<polyline fill=\"none\" stroke=\"#b3261e\" stroke-width=\"2\" stroke-dasharray=\"5,4\" points=\"%s,%s%s\"/>\n", x(0), y(0), bound
    printf "<text x=\"%d\" y=\"%.1f\" fill=\"#b3261e\">bound</text>\n", left + width + 8, y(bound_end) + 4
    printf "<path d=\"M%s %s L%s %s\" stroke=\"#888888\"/>\n", x(0), y(0), x(0.4), y(0.4)
    printf "<text x=\"%d\" y=\"%.1f\" fill=\"#888888\">their part</text>\n", left + width + 8, y(0.4) + 18
    for (i = 1; i <= n; i++) {
        printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"%s\"/>\n", colour[order[i]], points[order[i]]
        printf "<text x=\"%d\" y=\"%.1f\" fill=\"%s\">%s</text>\n", left + width + 8, y(0.45) - 16 * i, colour[order[i]], order[i]
    }
    print "</svg>"
}'
