# The deepest stack of firmware: reads call graphs of gcc (-fcallgraph-info=su)
# and a table that says what a compiler cannot see.
# usage: awk -v port=0|1 -f firmware/stack.awk firmware/calls.txt FILE.ci...
#
# calls.txt:  root NAME          a function that the application calls
#             indirect NAME TARGET...   where the calls through pointers in NAME go;
#                                `application` is the caller's own code
#             leaf NAME BYTES    a routine of the toolchain, which has no graph
#             cut NAME...        what these call is not followed
#             without NAME...   these count nothing: a build without them
#             port NAME...       with port=0 these count nothing: somebody else's code
# NAME may end in *. Recursion, a frame of unknown size, a call through a pointer
# that the table does not explain and an unknown callee are errors. Prints
# `BYTES ROOT > ... > DEEPEST` per root, the deepest last.

function matches(list, name,    i) {
    for (i = 1; i <= n_[list]; i++) {
        if (item[list, i] == name)
            return i
        if (item[list, i] ~ /\*$/ && index(name, substr(item[list, i], 1, length(item[list, i]) - 1)) == 1)
            return i
    }
    return 0
}
function fail(text) {
    print "stack: " text > "/dev/stderr"
    failed = 1
}
function plain(title,    s) {
    s = title
    sub(/^.*:/, "", s)
    return s
}
# Deepest below NAME, its own frame included; the way there in way[NAME].
function depth(name,    i, best, k, m, list, part) {
    if (name in done)
        return done[name]
    if (name in open_) {
        fail("recursion through " name)
        return 0
    }
    m = plain(name)
    if ((!port && matches("port", m)) || matches("without", m)) {
        done[name] = 0
        way[name] = m
        return 0
    }
    if (!(name in frame)) {
        i = matches("leaf", m)
        if (!i)
            fail("no graph of " name " (a `leaf` in calls.txt?)")
        done[name] = i ? bytes[i] : 0
        way[name] = m
        return done[name]
    }
    open_[name] = 1
    best = 0
    way[name] = m
    for (i = 1; i <= calls[name] && !matches("cut", m); i++) {
        if (callee[name, i] == "__indirect_call") {
            k = matches("indirect", m)
            if (!k) {
                fail("where does " name " call through a pointer?")
                continue
            }
            list = split(target[k], part, " ")
            for (k = 1; k <= list; k++)
                if (part[k] ~ /\*$/)
                    best = any(name, substr(part[k], 1, length(part[k]) - 1), best, m)
                else if (part[k] != "application")
                    best = deeper(name, resolve(part[k]), best, m)
        } else {
            best = deeper(name, callee[name, i], best, m)
        }
    }
    delete open_[name]
    done[name] = frame[name] + best
    return done[name]
}
function deeper(name, to, best, m,    d) {
    d = depth(to)
    if (d > best) {
        best = d
        way[name] = m " > " way[to]
    }
    return best
}
# Every function whose name starts with PREFIX.
function any(name, prefix, best, m,    f) {
    for (f in frame)
        if (index(plain(f), prefix) == 1)
            best = deeper(name, f, best, m)
    return best
}
# A static function is called FILE:NAME in the graph.
function resolve(to) {
    if (to in frame)
        return to
    if (to in only)
        return only[to]
    return to
}

FILENAME ~ /\.txt$/ {
    if ($0 ~ /^#/ || NF == 0)
        next
    if ($1 == "root" || $1 == "indirect" || $1 == "leaf") {
        n_[$1]++
        item[$1, n_[$1]] = $2
        if ($1 == "leaf")
            bytes[n_[$1]] = $3
        if ($1 == "indirect") {
            target[n_[$1]] = ""
            for (i = 3; i <= NF; i++)
                target[n_[$1]] = target[n_[$1]] " " $i
        }
    } else if ($1 == "port" || $1 == "cut" || $1 == "without") {
        for (i = 2; i <= NF; i++)
            item[$1, ++n_[$1]] = $i
    } else {
        fail("calls.txt does not know `" $1 "`")
    }
    next
}
/^node:/ {
    split($0, q, "\"")
    name = q[2]
    if (match($0, /\\n[0-9]+ bytes \([a-z,]+\)/)) {
        text = substr($0, RSTART + 2, RLENGTH - 2)
        split(text, w, " ")
        if (text !~ /static/)
            unknown[name] = 1
        if (!(name in frame) || w[1] > frame[name])
            frame[name] = w[1]
        only[plain(name)] = name
    }
    next
}
/^edge:/ {
    split($0, q, "\"")
    callee[q[2], ++calls[q[2]]] = q[4]
}
END {
    for (name in frame)
        if (matches("root", plain(name))) {
            d = depth(name)
            print d, way[name]
        }
    for (name in unknown)
        if (name in done)
            fail("frame of " name " has no fixed size")
    exit failed
}
