#!/bin/bash
# The chart of docs/performance.md: cost of a transaction against the number of
# accounts, as SVG.
# usage: tools/growth-chart.sh BENCH-LEDGER >docs/ledger-growth.svg   (make docs-charts)
set -euo pipefail
bench=${1:?usage: tools/growth-chart.sh BENCH-LEDGER}

"$bench" --growth --json | tail -n 1 | jq -r '.growth[] |
    "\(.accounts) \(.us_per_tx / .verify_us) \(.state_us_per_tx / .verify_us) \(.bytes_per_account)"' | awk '
function x(n) { return left + (log(n) - log(1e4)) / (log(1e7) - log(1e4)) * width }
function y(v) { return top + (1 - v / most) * height }
function curve(list, colour, label,    n, p) {
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"%s\"/>\n", colour, list
    n = split(list, p, " ")
    split(p[n], p, ",")
    printf "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", p[1] + 6, p[2] + 4, colour, label
}
function dot(n, v, colour) {
    return sprintf("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x(n), y(v), colour)
}
BEGIN {
    left = 64; top = 20; width = 560; height = 320; most = 1.6
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 400\" width=\"800\" height=\"400\" font-family=\"sans-serif\" font-size=\"13\">"
    print "<title>CPU time of a transaction against the number of accounts</title>"
    print "<rect width=\"800\" height=\"400\" fill=\"#ffffff\"/>"
    for (v = 0; v <= most + 0.01; v += 0.2) {
        printf "<path d=\"M%d %.1f H%d\" stroke=\"%s\"/>\n", left, y(v), left + width, (v > 0.99 && v < 1.01 ? "#888888" : "#dddddd")
        printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#222222\">%.1f</text>\n", left - 8, y(v) + 4, v
    }
    for (e = 4; e <= 7; e++)
        printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#222222\">10<tspan dy=\"-5\" font-size=\"10\">%d</tspan></text>\n", x(10 ^ e), top + height + 18, e
    printf "<path d=\"M%d %d V%d H%d\" fill=\"none\" stroke=\"#222222\"/>\n", left, top, top + height, left + width
    printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#222222\">accounts</text>\n", left + width / 2, top + height + 42
    printf "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">CPU time, in BIP340 verifications</text>\n", top + height / 2
}
{
    all = all sprintf("%.1f,%.1f ", x($1), y($2))
    state = state sprintf("%.1f,%.1f ", x($1), y($3))
    dots = dots dot($1, $2, "#1f5fbf") dot($1, $3, "#b3261e")
}
END {
    curve(all, "#1f5fbf", "whole transaction")
    curve(state, "#b3261e", "execution and tree")
    printf "%s</svg>\n", dots
}'
