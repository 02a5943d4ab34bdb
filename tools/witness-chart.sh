#!/bin/bash
# The chart of docs/witness.md: fork probability against committee size, as SVG.
# usage: tools/witness-chart.sh POA >docs/witness-bound.svg   (make docs-charts)
set -euo pipefail
poa=${1:?usage: tools/witness-chart.sh POA}

# CURVE P KEY COLOUR DASH: a point per committee of 3f+1, quorum n-f.
curve() {
    local n
    for ((n = 4; n <= 127; n += 3)); do
        "$poa" witness bounds --n "$n" --p "$1" --json | jq -r --arg n "$n" ".log10.$2 | \"\($n) \(.)\""
    done | awk -v p="$1" -v key="$2" -v colour="$3" -v dash="$4" '{ print p, key, colour, dash, $1, $2 }'
}

{
    curve 0.2 fork '#b3261e' none
    curve 0.1 fork '#e07b00' none
    curve 0.05 fork '#1b7f3b' none
    curve 0.01 fork '#1f5fbf' none
    curve 0.1 forge '#e07b00' 5,4
} | awk '
function x(n) { return sprintf("%.1f", left + (n - 4) / (127 - 4) * width) }
function y(l) { return sprintf("%.1f", top + -l / depth * height) }
function flush_curve() {
    if (points == "") return
    printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"%s\"/>\n",
        colour, dash == "none" ? "" : " stroke-dasharray=\"" dash "\"", points
    if (key == "fork")
        label = "fork, p = " p
    else
        label = "forge, p = " p
    if (ended) # it left at the bottom: the label stands beside its end
        printf "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", end_x + 5, top + height - 6 - 16 * low++, colour, label
    else
        printf "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", left + width + 6, end_y + 4, colour, label
    points = ""; ended = 0
}
BEGIN {
    left = 64; top = 20; width = 620; height = 360; depth = 24
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 440\" width=\"800\" height=\"440\" font-family=\"sans-serif\" font-size=\"13\">"
    print "<title>Probability of a fork against committee size, quorum n - f</title>"
    print "<rect width=\"800\" height=\"440\" fill=\"#ffffff\"/>"
    for (l = 0; l <= depth; l += 4) {
        printf "<path d=\"M%d %s H%d\" stroke=\"#dddddd\"/>\n", left, y(-l), left + width
        printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#222222\">%s</text>\n", left - 8, y(-l) + 4, l ? "10<tspan dy=\"-5\" font-size=\"10\">-" l "</tspan>" : "1"
    }
    split("4 16 31 49 64 82 100 127", tick, " ")
    for (i = 1; i in tick; i++) {
        printf "<path d=\"M%s %d V%d\" stroke=\"#eeeeee\"/>\n", x(tick[i]), top, top + height
        printf "<text x=\"%s\" y=\"%d\" text-anchor=\"middle\" fill=\"#222222\">%d</text>\n", x(tick[i]), top + height + 18, tick[i]
    }
    printf "<path d=\"M%d %d V%d H%d\" fill=\"none\" stroke=\"#222222\"/>\n", left, top, top + height, left + width
    printf "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#222222\">members n, quorum q = n - f</text>\n", left + width / 2, top + height + 42
    printf "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">probability</text>\n", top + height / 2
}
{
    id = $1 " " $2
    if (id != last) { flush_curve(); last = id; p = $1; key = $2; colour = $3; dash = $4; before = "" }
    if (ended) next
    if (-$6 > depth) { # cut where it crosses the edge
        split(before, b, " ")
        n = b[1] + ($5 - b[1]) * (depth + b[2]) / (b[2] - $6)
        points = points " " x(n) "," y(-depth)
        ended = 1; end_x = x(n)
        next
    }
    points = points (points == "" ? "" : " ") x($5) "," y($6)
    before = $5 " " $6; end_y = y($6)
}
END { flush_curve(); print "</svg>" }'
