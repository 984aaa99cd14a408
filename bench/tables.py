#!/usr/bin/env python3
"""Measures the table files of several implementations in interleaved rounds, and tabulates.

  ./tables.py run --rounds 3 --out results/tables.jsonl
  ./tables.py table results/tables.jsonl [--cpu]

Each (rows, compression, implementation, round) is one process with a directory of its own; rounds
interleave the implementations, and begin with another each time. Nothing runs in parallel.
"""
import argparse, json, os, statistics as st, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "target")), "release")

# name -> (binary, extra arguments, compressions it can do). Add an implementation here.
TABLES = {
    "stratal":    ("pb-tables-stratal", [], {"none", "lz4", "zstd"}),
    "stratal-div": ("pb-tables-stratal", ["--divided=1", "--suffix=-div"], {"none", "lz4", "zstd"}),
    "lsmtree3":   ("pb-tables-lsmtree3", [], {"none", "lz4"}),
    "coord7":     ("pb-tables-coord7", [], {"none", "lz4", "zstd"}),
    "coord7-rows": ("pb-tables-coord7", ["--row-cache=1", "--suffix=-rows"], {"none", "lz4", "zstd"}),
    "rocksdb":    ("pb-tables-rocksdb", [], {"none", "lz4", "zstd"}),
    "rocksdb-db": ("pb-tables-rocksdb", ["--kind=db"], {"none", "lz4", "zstd"}),
}

# row -> (title, whether more is better), in the order of the table.
ROWS = {
    "bytes":        ("bytes per entry", False),
    "write":        ("write, sorted", True),
    "write_memory": ("memory while writing", False),
    "get_hit":      ("get, hit, cached", False),
    "get_miss":     ("get, miss, cached", False),
    "get_uncached": ("get, hit, small cache", False),
    "multi_get":    ("get of 32 at once, cached", False),
    "multi_get_uncached": ("get of 32 at once, small cache", False),
    "seek":         ("seek, cached", False),
    "next":         ("next, cached", False),
    "prev":         ("previous, cached", False),
    "scan":         ("full scan, cached", True),
    "scan_back":    ("full scan backward, cached", True),
    "scan_once":    ("open and scan once, uncached", True),
    "open":         ("open", False),
    "open_get":     ("open and first get", False),
    "held":         ("memory, table of all rows", False),
    "held_small":   ("memory, table of 1/200 of them", False),
}

def rows_file(a, name):
    """The rows are made once; every program prints the hash of what it has read."""
    path = os.path.join(a.dir, str(a.n), f"{name}.rows")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        new = path + ".new"
        subprocess.run([os.path.join(TARGET, "pb-tables-data"), name, new, str(a.n)], check=True, stdout=sys.stderr)
        os.rename(new, path)
    return path

def run(a):
    names = a.tables.split(",") if a.tables else list(TABLES)
    for n in names:
        if not os.path.exists(os.path.join(TARGET, TABLES[n][0])):
            sys.stderr.write(f"{n}: left out, because {TABLES[n][0]} was not built\n")
    names = [n for n in names if os.path.exists(os.path.join(TARGET, TABLES[n][0]))]
    os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    began = time.time()
    with open(a.out, "a") as out:
        for r in range(a.first_round, a.first_round + a.rounds):
            for rows in a.rows.split(","):
                path = rows_file(a, rows)
                for comp in a.comps.split(","):
                    able = [n for n in names if comp in TABLES[n][2]]
                    k = r % max(1, len(able))
                    for n in able[k:] + able[:k]:
                        exe, extra, _ = TABLES[n]
                        cmd = [os.path.join(TARGET, exe), f"--rows={path}", f"--comp={comp}", f"--round={r}", f"--dir={a.dir}"]
                        t = time.time()
                        p = subprocess.run(cmd + extra + a.arg, capture_output=True, text=True)
                        if p.returncode: sys.stderr.write(f"{n}: exit {p.returncode}: {p.stderr[-500:]}\n")
                        out.write(p.stdout); out.flush()
                        sys.stderr.write(f"[{time.time()-began:6.0f}s] {rows} {comp} r{r} {n}: {time.time()-t:.1f}s\n")

def fmt(x):
    if abs(x) >= 1000: return f"{x:,.0f}"
    if abs(x) >= 100: return f"{x:.0f}"
    return f"{x:.1f}"

def table(a):
    lines = []
    for f in a.files:
        for l in open(f):
            try: lines.append(json.loads(l))
            except ValueError: pass
    def group(*names):
        seen = {}
        for l in lines: seen.setdefault(tuple(l[n] for n in names), []).append(l)
        return seen
    for (rows, comp, n), some in group("rows", "comp", "n").items():
        hashes = {l["hash"] for l in some}
        if len(hashes) > 1: print(f"\nDIFFERENT ROWS (void): {rows}: {sorted(hashes)}")
        who = [t for t in TABLES if any(l["table"] == t for l in some)]
        print(f"\n### {rows}, {n:,} rows, compression {comp}\n")
        print("| | unit | " + " | ".join(who) + " | spread |\n|---|---|" + "--:|" * (len(who) + 1))
        for row, (title, more) in ROWS.items():
            cells, units = {}, set()
            for l in some:
                if l["row"] == row:
                    cells.setdefault(l["table"], []).append(l.get("cpu", l["value"]) if a.cpu else l["value"])
                    units.add(l["unit"])
            if not cells: continue
            medians = {t: st.median(v) for t, v in cells.items()}
            best = (max if more else min)(medians.values())
            shown = []
            for t in who:
                m = medians.get(t)
                if m is None: shown.append("–"); continue
                worse = best / m if more and m else m / best if best else 1
                shown.append(f"**{fmt(m)}**" if m == best else f"{fmt(m)} {worse:.2f}×")
            spreads = [(max(v) - min(v)) / st.median(v) for v in cells.values() if len(v) > 1 and st.median(v)]
            spread = f"{st.median(spreads) * 100:.0f} %" if spreads else "–"
            print(f"| {title} | {' '.join(sorted(units))} | " + " | ".join(shown) + f" | {spread} |")
    what = "processor time where it was measured (for a busy machine)" if a.cpu else "wall time"
    print(f"\nMedians over rounds and repetitions, {what}; bold = best of the row; 1.50× = so many times worse than the best; "
          "spread = (max − min) ÷ median, median of the implementations.")
    print("\n" + ", ".join(sorted({l["ver"] for l in lines})) + ".")
    bad = sorted({(l["table"], l["rows"], l["comp"], l["round"]) for l in lines if l.get("bad")})
    print(f"\nWRONG ANSWERS (void): {bad}" if bad else "\nEvery answer was right.")
    for l in lines:
        if l["row"] == "ERROR": print("\nERROR:", json.dumps(l))

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    s = p.add_subparsers(dest="cmd", required=True)
    q = s.add_parser("run")
    q.add_argument("--rows", default="random,places"); q.add_argument("--comps", default="none,lz4,zstd")
    q.add_argument("--tables", default=""); q.add_argument("--rounds", type=int, default=3)
    q.add_argument("--first-round", type=int, default=0)
    q.add_argument("--n", type=int, default=1_000_000, help="rows")
    q.add_argument("--out", default=os.path.join(HERE, "results", "tables.jsonl"))
    q.add_argument("--dir", default=os.path.join(HERE, "data"), help="for files of rows and tables")
    q.add_argument("--arg", action="append", default=[], help="passed on, e.g. --arg=--small=64")
    q = s.add_parser("table"); q.add_argument("files", nargs="+")
    q.add_argument("--cpu", action="store_true", help="processor time instead of wall time")
    a = p.parse_args()
    {"run": run, "table": table}[a.cmd](a)
