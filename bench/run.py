#!/usr/bin/env python3
"""Runs the engine binaries in interleaved rounds and tabulates the results.

  ./run.py run --suites rand,seq --comps none,lz4 --rounds 3 --out results/main.jsonl
  ./run.py table results/main.jsonl [--compact]

Each (suite, compression, engine, round) is one child process on a fresh
directory; rounds interleave the engines (A B C A B C ...), starting at
another engine each round. Nothing runs in parallel.
"""
import argparse, json, os, statistics as st, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))

TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(HERE, "target"))

def b(n): return os.path.join(TARGET, "release", n)

# name -> (binary, extra args, compressions it can do). Add an engine here.
ENGINES = {
    "stratal":       (b("pb-stratal"), [], {"none", "lz4", "zstd"}),
    "lsmtree3":      (b("pb-lsmtree3"), [], {"none", "lz4"}),
    "fjall3":        (b("pb-fjall3"), [], {"none", "lz4"}),
    "coord7":        (b("pb-coord7"), [], {"none", "lz4", "zstd"}),
    "rocksdb7":      (b("pb-rocksdb7"), [], {"none", "lz4", "zstd"}),
    "rocksdb7-nolog": (b("pb-rocksdb7"), ["--wal=0", "--suffix=-nolog"], {"none", "lz4", "zstd"}),
    "redb4":         (b("pb-redb4"), [], {"none"}),
    "btreemap":      (b("pb-reference"), [], {"none"}),
}
SUITE_ARGS = {"rand": [], "seq": [], "blob": ["--n=16000", "--reads=20000"], "grow": ["--n=5000000"]}

def run(a):
    names = a.engines.split(",") if a.engines else list(ENGINES)
    names = [n for n in names if os.path.exists(ENGINES[n][0])]
    os.makedirs(os.path.dirname(os.path.abspath(a.out)), exist_ok=True)
    t0 = time.time()
    with open(a.out, "a") as out:
        for suite in a.suites.split(","):
            for comp in a.comps.split(","):
                es = [n for n in names if comp in ENGINES[n][2]]
                for r in range(a.first_round, a.first_round + a.rounds):
                    k = r % max(1, len(es))
                    for n in es[k:] + es[:k]:
                        exe, extra, _ = ENGINES[n]
                        cmd = [exe, f"--suite={suite}", f"--comp={comp}", f"--round={r}", f"--dir={a.dir}"]
                        cmd += SUITE_ARGS.get(suite, []) + extra + a.arg
                        t = time.time()
                        try:
                            p = subprocess.run(cmd, capture_output=True, text=True, timeout=a.timeout)
                            lines, rc = p.stdout, p.returncode
                            if rc: sys.stderr.write(f"{n} {suite} rc={rc}: {p.stderr[-500:]}{lines[-300:]}\n")
                        except subprocess.TimeoutExpired as e:
                            lines = (e.stdout or b"").decode() if isinstance(e.stdout, bytes) else (e.stdout or "")
                            lines = lines[:lines.rfind("\n") + 1]
                            sys.stderr.write(f"{n} {suite}: timeout, phases done are kept\n")
                        out.write(lines); out.flush()
                        sys.stderr.write(f"[{time.time()-t0:6.0f}s] {suite} {comp} r{r} {n}: {time.time()-t:.1f}s\n")

def load(files):
    rows = []
    for f in files:
        for l in open(f):
            try: rows.append(json.loads(l))
            except ValueError: pass
    return rows

ORDER = """fillseq fillseq+idle readseq_seqfill fillrandom fillrandom+idle readrandom_frag readhot_frag readmissing_frag
seekrandom10_frag readseq_frag major reopen reopen_cold readrandom_cold readrandom readhot readmissing seekrandom10 readseq readreverse
overwrite overwrite+idle readwhilewriting major_overwritten deleterange scan_after_deleterange read_after_deleterange
major_after_deleterange scan_after_deleterange_major blob_fillrandom blob_fillrandom+idle blob_readrandom
blob_seekrandom10 blob_readseq blob_overwrite blob_overwrite+idle blob_major blob_readseq_after_major""".split()
THROUGHPUT = {"readseq", "readreverse", "readseq_frag", "readseq_seqfill", "major", "major_overwritten", "blob_readseq",
              "blob_readseq_after_major", "blob_fillrandom", "blob_fillrandom+idle", "blob_overwrite", "blob_overwrite+idle",
              "blob_major", "major_after_deleterange", "scan_after_deleterange", "scan_after_deleterange_major"}

def med(v): return st.median(v) if v else None

def fmt(x):
    if x is None: return "-"
    if x == 0: return "0"
    if abs(x) >= 1000: return f"{x:,.0f}"
    if abs(x) >= 100: return f"{x:.0f}"
    if abs(x) >= 10: return f"{x:.1f}"
    return f"{x:.2f}"

def cell(v):
    v = [x for x in v if x is not None]
    if not v: return None, "-"
    m = med(v)
    return m, f"{fmt(m)} ({fmt(min(v))}..{fmt(max(v))})" if len(v) > 1 else fmt(m)

def metric_rows(rows, suite, comp, n):
    """(title, unit, higher_is_better, {engine: [values]})"""
    R = [r for r in rows if r["suite"] == suite and r["comp"].lower() == comp and r["n"] == n and "ops" in r]
    out = []
    def add(title, unit, hi, work, f):
        d = {}
        for r in R:
            if r["work"] == work:
                try: x = f(r)
                except (KeyError, ZeroDivisionError): continue
                if x is not None: d.setdefault(r["engine"], []).append(x)
        if d: out.append((title, unit, hi, d))
    works = [w for w in ORDER if any(r["work"] == w for r in R)]
    for w in works:
        if w in THROUGHPUT: add(w, "MB/s", True, w, lambda r: r["mb_s"])
        elif w.startswith("reopen"): add(w, "ms", False, w, lambda r: r["secs"] * 1e3)
        elif w == "readwhilewriting":
            add(w + " reads", "kop/s", True, w, lambda r: r["reads_s"] / 1e3)
            add(w + " writes", "kop/s", True, w, lambda r: r["writes_s"] / 1e3)
            add(w + " read p99", "us", False, w, lambda r: r["p99"] / 1e3)
            add(w + " write max", "ms", False, w, lambda r: r["w_max"] / 1e6)
        else: add(w, "ns/op", False, w, lambda r: r["ns_op"])
    for w in works:
        if w.endswith("+idle"):
            add(w + " CPU", "ns/op", False, w, lambda r: r["cpu_ns_op"])
            add(w + " write amp (wchar)", "x", False, w, lambda r: r["wchar"] / r["ubytes"])
            add(w + " write amp (block)", "x", False, w, lambda r: r["wbytes"] / r["ubytes"])
            add(w + " disk", "MB", False, w, lambda r: r["disk"] / 1e6)
            add(w + " peak RSS", "MB", False, w, lambda r: r["rss_peak_kb"] / 1024)
        if w in ("fillrandom", "overwrite", "fillseq"):
            add(w + " p99", "us", False, w, lambda r: r["p99"] / 1e3)
            add(w + " max stall", "ms", False, w, lambda r: r["max"] / 1e6)
        if w in ("readrandom", "readhot", "readmissing", "seekrandom10", "readrandom_cold", "readrandom_frag"):
            add(w + " p50", "ns", False, w, lambda r: r["p50"])
            add(w + " p99", "ns", False, w, lambda r: r["p99"])
    for w in ("major", "blob_major", "major_after_deleterange"):
        add(w + " disk after", "MB", False, w, lambda r: r["disk"] / 1e6)
        add(w + " CPU", "ns/key", False, w, lambda r: r["cpu_ns_op"])
    add("major filter bits/key", "bit", False, "major", lambda r: r["filter"] * 8 / r["ops"])
    add("RSS after readmissing", "MB", False, "readmissing", lambda r: r["rss_kb"] / 1024)
    return out

def table(a):
    rows = load(a.files)
    bad = sorted({(r["engine"], r["suite"], r["comp"], r["round"], r["bad"]) for r in rows if r.get("bad")})
    err = [r for r in rows if r["work"] == "ERROR"]
    keys = []
    for r in rows:
        k = (r["suite"], r["comp"].lower(), r["n"])
        if k not in keys: keys.append(k)
    for k in keys:
        es = []
        for r in rows:
            if (r["suite"], r["comp"].lower(), r["n"]) == k and r["engine"] not in es: es.append(r["engine"])
        es.sort(key=lambda e: list(ENGINES).index(e) if e in ENGINES else 99)
        ranked = [e for e in es if e != "btreemap"]
        nomajor = {"btreemap"}
        print(f"\n### suite {k[0]}, compression {k[1]}, n = {k[2]:,}\n")
        last = " | spread |" if a.compact else " |"
        print("| workload | unit | " + " | ".join(es) + last)
        print("|---|---|" + "---:|" * (len(es) + bool(a.compact)))
        for title, unit, hi, d in metric_rows(rows, *k):
            m = {e: cell(d.get(e, [])) if not (title.startswith("major") and e in nomajor) else (None, "-") for e in es}
            vals = {e: m[e][0] for e in ranked if m[e][0]}
            best = (max if hi else min)(vals.values()) if vals else None
            cs = []
            for e in es:
                v, s = m[e]
                if a.compact and v: s = fmt(v)
                if v and best and e in vals:
                    ratio = best / v if hi else v / best
                    s = f"**{s}**" if ratio < 1.0005 else f"{s} {ratio:.2f}x"
                cs.append(s)
            if a.compact:
                sp = [(max(x) - min(x)) / med(x) for x in d.values() if len(x) > 1 and med(x)]
                cs.append(f"{med(sp)*100:.0f} %" if sp else "-")
            print(f"| {title} | {unit} | " + " | ".join(cs) + " |")
    if a.compact: print("\nspread = (max - min) / median over rounds, median of the engines.")
    print("\nMedian (min..max) over rounds; bold = best of the row (the in-memory BTreeMap is not ranked); 1.50x = 1.5 times worse than the best.")
    if bad: print("\nWRONG ANSWERS (void):", bad)
    else: print("\nAll answers verified right (`bad` = 0 in every phase).")
    for r in err: print("\nERROR:", json.dumps(r))

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
s = p.add_subparsers(dest="cmd", required=True)
q = s.add_parser("run")
q.add_argument("--suites", default="seq,rand,blob"); q.add_argument("--comps", default="none,lz4")
q.add_argument("--engines", default=""); q.add_argument("--rounds", type=int, default=3)
q.add_argument("--first-round", type=int, default=0)
q.add_argument("--out", default=os.path.join(HERE, "results", "run.jsonl"))
q.add_argument("--dir", default=os.path.join(HERE, "data")); q.add_argument("--timeout", type=int, default=300)
q.add_argument("--arg", action="append", default=[], help="passed to the engine binary, e.g. --arg=--memtable=8")
q = s.add_parser("table"); q.add_argument("files", nargs="+"); q.add_argument("--compact", action="store_true")
a = p.parse_args()
{"run": run, "table": table}[a.cmd](a)
