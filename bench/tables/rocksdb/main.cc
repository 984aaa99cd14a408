// Tables of RocksDB, measured as the implementations in Rust are: see core/src/measure.rs, which
// this follows call by call, and core/src/rows.rs for the file of rows.
//
// --kind=reader: SstFileReader. It has no get before version 9; the cheapest is an iterator, moved,
//   with the whole key as its prefix, so that the filter is asked.
// --kind=db: a database whose only table was ingested, for its Get and MultiGet.
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

using rocksdb::Slice;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

[[noreturn]] static void fail(const std::string& what) {
  fprintf(stderr, "%s\n", what.c_str());
  exit(1);
}

static void check(const rocksdb::Status& status) {
  if (!status.ok()) fail(status.ToString());
}

static uint64_t word(const char* at) {
  uint64_t value;
  memcpy(&value, at, 8);
  return value;
}

// ---- rows ----------------------------------------------------------------

struct Row {
  Slice key, value;
};

struct Probe {
  Slice present, absent;
  size_t row;
  uint64_t check;
};

static uint64_t check_word(const Slice& value) {
  if (value.size() < 21) return 0;
  uint64_t last = word(value.data() + value.size() - 8);
  return word(value.data() + 13) ^ (last << 23 | last >> 41) ^ value.size();
}

struct Rows {
  std::string bytes, keys;
  std::vector<Row> rows;
  std::vector<Probe> probes;
  uint64_t hash, plain_len = 0;

  explicit Rows(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    bytes.assign(std::istreambuf_iterator<char>(file), {});
    if (bytes.size() < 32 || bytes.compare(0, 8, "PBROWS01") != 0) fail(path + ": not a file of rows");
    hash = word(&bytes[8]);
    if (hash_of(&bytes[16], bytes.size() - 16) != hash) fail(path + ": damaged");
    uint64_t n = word(&bytes[16]), p = word(&bytes[24]);
    size_t at = 32;
    rows.reserve(n);
    for (uint64_t i = 0; i < n; i++) {
      uint32_t lens[2];
      memcpy(lens, &bytes[at], 8);
      rows.push_back({{&bytes[at + 8], lens[0]}, {&bytes[at + 8 + lens[0]], lens[1]}});
      at += 8 + lens[0] + lens[1];
      plain_len += lens[0] + lens[1];
    }
    // Their keys one behind the other, so that reading them costs no cache misses.
    keys.reserve(bytes.size() - at + p * rows[0].key.size() * 8);
    for (uint64_t i = 0; i < p; i++) {
      uint32_t both[2];
      memcpy(both, &bytes[at], 8);
      const Row& row = rows[both[0]];
      size_t from = keys.size();
      if (from + row.key.size() + both[1] > keys.capacity()) fail("probes with keys that long were not expected");
      keys.append(row.key.data(), row.key.size());
      keys.append(&bytes[at + 8], both[1]);
      probes.push_back({{&keys[from], row.key.size()}, {&keys[from + row.key.size()], both[1]}, both[0], check_word(row.value)});
      at += 8 + both[1];
    }
  }

  static uint64_t hash_of(const char* at, size_t len) {
    uint64_t hash = len;
    auto mix = [&](uint64_t word) {
      hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 32;
    };
    size_t whole = len / 8 * 8;
    for (size_t i = 0; i < whole; i += 8) mix(word(at + i));
    char last[8] = {};
    memcpy(last, at + whole, len - whole);
    mix(word(last));
    return hash;
  }
};

// ---- meters --------------------------------------------------------------

static double cpu_secs() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct Watch {
  double cpu = cpu_secs();
  Clock::time_point began = Clock::now();
  double secs() const { return std::chrono::duration<double>(Clock::now() - began).count(); }
};

static uint64_t status_kb(const char* field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.compare(0, strlen(field), field) == 0) return strtoull(line.c_str() + strlen(field) + 1, nullptr, 10);
  return 0;
}

static uint64_t heap() {
  auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

static double median(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

static uint64_t touch(const Slice& key, const Slice& value) {
  auto last = [](const Slice& s) { return s.empty() ? 0 : uint64_t(uint8_t(s[s.size() - 1])); };
  return key.size() + value.size() + last(key) + last(value);
}

// ---- the table -----------------------------------------------------------

static bool is_db = false;
static rocksdb::CompressionType compression = rocksdb::kNoCompression;

static rocksdb::Options options_with(std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_size = 4096;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = cache;
  rocksdb::Options options;
  options.compression = compression;
  options.bottommost_compression = rocksdb::kDisableCompressionOption;
  if (!is_db) {
    table.whole_key_filtering = false;
    options.prefix_extractor.reset(rocksdb::NewNoopTransform());
  }
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

static void write_table(const std::string& path, const Row* rows, size_t n) {
  rocksdb::Options options = options_with(nullptr);
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options);
  check(writer.Open(path));
  for (size_t i = 0; i < n; i++) check(writer.Put(rows[i].key, rows[i].value));
  check(writer.Finish());  // Syncs.
}

struct Table {
  std::unique_ptr<rocksdb::SstFileReader> reader;
  std::unique_ptr<rocksdb::DB> db;
  std::unique_ptr<rocksdb::Iterator> points;
  rocksdb::PinnableSlice value;

  Table(const std::string& path, std::shared_ptr<rocksdb::Cache> cache) {
    rocksdb::Options options = options_with(cache);
    if (is_db) {
      // The file is a database's already, once ingested; see `ingest`.
      options.info_log_level = rocksdb::FATAL_LEVEL;
      rocksdb::DB* opened;
      check(rocksdb::DB::OpenForReadOnly(options, path + ".db", &opened));
      db.reset(opened);
    } else {
      reader.reset(new rocksdb::SstFileReader(options));
      check(reader->Open(path));
    }
  }

  static void ingest(const std::string& path) {
    rocksdb::Options options = options_with(nullptr);
    options.create_if_missing = true;
    rocksdb::DB* opened;
    check(rocksdb::DB::Open(options, path + ".db", &opened));
    std::unique_ptr<rocksdb::DB> db(opened);
    rocksdb::IngestExternalFileOptions ingest;
    ingest.move_files = true;
    check(db->IngestExternalFile({path}, ingest));
  }

  rocksdb::Iterator* iterator(bool fill_cache) {
    rocksdb::ReadOptions options;
    options.total_order_seek = true;
    options.fill_cache = fill_cache;
    return is_db ? db->NewIterator(options) : reader->NewIterator(options);
  }

  // Whether there is such a key, and then `f` of its value.
  template <class F>
  bool get(const Slice& key, F f) {
    if (is_db) {
      value.Reset();
      auto status = db->Get(rocksdb::ReadOptions(), db->DefaultColumnFamily(), key, &value);
      if (status.IsNotFound()) return false;
      check(status);
      f(value);
      return true;
    }
    if (!points) points.reset(reader->NewIterator(rocksdb::ReadOptions()));
    points->Seek(key);
    if (!points->Valid() || points->key() != key) {
      check(points->status());
      return false;
    }
    f(points->value());
    return true;
  }

  template <class F>
  void walk(bool forward, bool fill_cache, F f) {
    std::unique_ptr<rocksdb::Iterator> it(iterator(fill_cache));
    if (forward)
      for (it->SeekToFirst(); it->Valid(); it->Next()) f(it->key(), it->value());
    else
      for (it->SeekToLast(); it->Valid(); it->Prev()) f(it->key(), it->value());
    check(it->status());
  }
};

// ---- the run -------------------------------------------------------------

static const size_t BATCH = 32, REPEATS = 3, OPENS = 51, FULL_EVERY = 1024;
static const uint64_t PASSES = 3;

struct Run {
  Rows rows;
  std::string head;
  fs::path dir;
  uint64_t cache_len, small_len;
  size_t tables;
  uint64_t bad = 0;
  int files = 0;
  std::shared_ptr<rocksdb::Cache> cache = nullptr;
  std::unique_ptr<Table> table = nullptr;

  void emit(const char* row, const char* unit, double value, const std::string& more = "") {
    printf("{%s,\"row\":\"%s\",\"unit\":\"%s\",\"value\":%.3f,\"bad\":%llu%s}\n", head.c_str(), row, unit, value,
           (unsigned long long)bad, more.c_str());
  }
  void emit_ns(const char* row, uint64_t ops, const Watch& watch) {
    double secs = watch.secs(), cpu = cpu_secs() - watch.cpu, each = 1e9 / ops;
    emit(row, "ns", secs * each, ",\"ops\":" + std::to_string(ops) + cpu_of(cpu * each));
  }
  void emit_mb_s(const char* row, uint64_t passes, const Watch& watch) {
    double secs = watch.secs(), cpu = cpu_secs() - watch.cpu, mb = passes * rows.plain_len / 1e6;
    emit(row, "MB/s", mb / secs, cpu_of(mb / cpu));
  }
  static std::string cpu_of(double value) {
    char more[40];
    snprintf(more, sizeof more, ",\"cpu\":%.3f", value);
    return more;
  }

  std::string next_path() { return (dir / (std::to_string(++files) + ".sst")).string(); }

  bool is_right(size_t i, const Probe& probe, const Slice& value) const {
    return check_word(value) == probe.check && (i % FULL_EVERY != 0 || rows.rows[probe.row].value == value);
  }

  std::string write() {
    std::string path = next_path();
    // What was freed before would hide what is taken now.
    malloc_trim(0);
    std::ofstream("/proc/self/clear_refs") << "5";
    uint64_t before = status_kb("VmRSS");
    Watch watch;
    write_table(path, rows.rows.data(), rows.rows.size());
    emit_mb_s("write", 1, watch);
    uint64_t peak = status_kb("VmHWM");
    emit("write_memory", "MiB", (peak > before ? peak - before : 0) / 1024.0);
    emit("bytes", "B", double(fs::file_size(path)) / rows.rows.size());
    return path;
  }

  std::string write_to_read() {
    std::string path = write();
    if (is_db) Table::ingest(path);
    return path;
  }

  void open_table(const std::string& path, uint64_t capacity) {
    table.reset();
    cache = rocksdb::NewLRUCache(capacity);
    table.reset(new Table(path, cache));
  }

  void verify() {
    auto& all = rows.rows;
    size_t i = 0;
    auto ascending = [&](const Slice& key, const Slice& value) {
      bad += i >= all.size() || all[i].key != key || all[i].value != value;
      i++;
    };
    table->walk(true, true, ascending);
    bad += all.size() - std::min(i, all.size());
    i = all.size();
    table->walk(false, true, [&](const Slice& key, const Slice& value) {
      i--;
      bad += i >= all.size() || all[i].key != key || all[i].value != value;
    });
    bad += i;
    i = 0;
    table->walk(true, false, ascending);
    bad += all.size() - std::min(i, all.size());
    for (auto& row : all) {
      bool same = false;
      bool found = table->get(row.key, [&](const Slice& value) { same = value == row.value; });
      bad += !found || !same;
    }
  }

  void get_hit(const char* name) {
    uint64_t wrong = 0;
    Watch watch;
    for (size_t i = 0; i < rows.probes.size(); i++) {
      const Probe& probe = rows.probes[i];
      bool right = false;
      table->get(probe.present, [&](const Slice& value) { right = is_right(i, probe, value); });
      wrong += !right;
    }
    emit_ns(name, rows.probes.size(), watch);
    bad += wrong;
  }

  void get_miss(const char* name) {
    uint64_t found = 0;
    Watch watch;
    for (auto& probe : rows.probes) found += table->get(probe.absent, [](const Slice&) {});
    emit_ns(name, rows.probes.size(), watch);
    bad += found;
  }

  void seek() {
    uint64_t wrong = 0;
    Watch watch;
    std::unique_ptr<rocksdb::Iterator> it(table->iterator(true));
    for (size_t i = 0; i < rows.probes.size(); i++) {
      const Probe& probe = rows.probes[i];
      it->Seek(probe.present);
      wrong += !(it->Valid() && it->key() == probe.present && is_right(i, probe, it->value()));
    }
    emit_ns("seek", rows.probes.size(), watch);
    bad += wrong;
  }

  void multi_get(const char* name) {
    if (!is_db) return;
    uint64_t right = 0;
    size_t batches = rows.probes.size() / BATCH;
    std::vector<Slice> keys(BATCH);
    std::vector<rocksdb::PinnableSlice> values(BATCH);
    std::vector<rocksdb::Status> statuses(BATCH);
    Watch watch;
    for (size_t b = 0; b < batches; b++) {
      for (size_t k = 0; k < BATCH; k++) {
        keys[k] = rows.probes[b * BATCH + k].present;
        values[k].Reset();
      }
      table->db->MultiGet(rocksdb::ReadOptions(), table->db->DefaultColumnFamily(), BATCH, keys.data(), values.data(),
                          statuses.data());
      for (size_t k = 0; k < BATCH; k++)
        right += statuses[k].ok() && is_right(b + k, rows.probes[b * BATCH + k], values[k]);
    }
    emit_ns(name, batches * BATCH, watch);
    bad += batches * BATCH - right;
  }

  uint64_t expected() const {
    uint64_t sum = 0;
    for (auto& row : rows.rows) sum += touch(row.key, row.value);
    return sum;
  }

  void walk(bool forward) {
    uint64_t want = expected(), wrong = 0;
    Watch watch;
    for (uint64_t pass = 0; pass < PASSES; pass++) {
      uint64_t sum = 0;
      table->walk(forward, true, [&](const Slice& key, const Slice& value) { sum += touch(key, value); });
      wrong += sum != want;
    }
    emit_ns(forward ? "next" : "prev", PASSES * rows.rows.size(), watch);
    emit_mb_s(forward ? "scan" : "scan_back", PASSES, watch);
    bad += wrong;
  }

  void all() {
    for (size_t i = 1; i < REPEATS; i++) fs::remove(write());
    std::string path = write_to_read();
    open_table(path, cache_len);
    verify();
    get_hit("get_hit");
    get_miss("get_miss");
    seek();
    multi_get("multi_get");
    walk(true);
    walk(false);

    open_table(path, small_len);
    get_hit("get_uncached");
    open_table(path, small_len);
    multi_get("multi_get_uncached");

    table.reset();
    for (size_t i = 0; i < REPEATS; i++) scan_once(path);
    open(path);
    // A database holds more than its tables.
    if (!is_db) held(path);
  }

  void scan_once(const std::string& path) {
    uint64_t want = expected(), sum = 0;
    cache = rocksdb::NewLRUCache(small_len);
    {
      Watch watch;
      Table once(path, cache);
      once.walk(true, false, [&](const Slice& key, const Slice& value) { sum += touch(key, value); });
      emit_mb_s("scan_once", 1, watch);
    }
    bad += sum != want;
  }

  void open(const std::string& path) {
    std::vector<double> opens, opens_cpu, answers, answers_cpu;
    for (size_t i = 0; i < OPENS; i++) {
      cache = rocksdb::NewLRUCache(small_len);
      const Probe& probe = rows.probes[i % rows.probes.size()];
      Watch watch;
      Table opened(path, cache);
      opens.push_back(watch.secs() * 1e6);
      opens_cpu.push_back((cpu_secs() - watch.cpu) * 1e6);
      bool right = false;
      opened.get(probe.present, [&](const Slice& value) { right = check_word(value) == probe.check; });
      answers.push_back(watch.secs() * 1e6);
      answers_cpu.push_back((cpu_secs() - watch.cpu) * 1e6);
      bad += !right;
    }
    emit("open", "us", median(opens), cpu_of(median(opens_cpu)));
    emit("open_get", "us", median(answers), cpu_of(median(answers_cpu)));
  }

  void held(const std::string& path) {
    {
      cache = rocksdb::NewLRUCache(cache_len);
      uint64_t before = heap();
      Table opened(path, cache);
      bool right = false;
      opened.get(rows.probes[0].present, [&](const Slice& value) { right = check_word(value) == rows.probes[0].check; });
      bad += !right;
      emit("held", "KiB", (heap() - before) / 1024.0);
    }
    fs::remove(path);

    size_t each = rows.rows.size() / tables;
    if (each == 0) return;
    std::vector<std::string> paths;
    for (size_t i = 0; i < tables; i++) {
      paths.push_back(next_path());
      write_table(paths.back(), &rows.rows[i * each], each);
    }
    cache = rocksdb::NewLRUCache(cache_len);
    std::vector<std::unique_ptr<Table>> open;
    open.reserve(tables);
    uint64_t before = heap();
    for (size_t i = 0; i < tables; i++) {
      std::unique_ptr<Table> opened(new Table(paths[i], cache));
      const Row& row = rows.rows[i * each + each / 2];
      bool same = false;
      bool found = opened->get(row.key, [&](const Slice& value) { same = value == row.value; });
      bad += !found || !same;
      open.push_back(std::move(opened));
    }
    double held = double(heap() - before) / tables;
    emit("held_small", "KiB", held / 1024.0, ",\"ops\":" + std::to_string(tables));
  }

  // For profilers: one row alone, over and over.
  void hot(const std::string& row, uint64_t ms) {
    if (row == "write") {
      for (Watch watch; watch.secs() * 1e3 < ms;) fs::remove(write());
      return;
    }
    std::string path = write_to_read();
    open_table(path, row.find("uncached") != row.npos ? small_len : cache_len);
    verify();
    Watch watch;
    while (watch.secs() * 1e3 < ms) {
      if (row == "get_hit" || row == "get_uncached") get_hit(row.c_str());
      else if (row == "get_miss") get_miss(row.c_str());
      else if (row == "seek") seek();
      else if (row == "multi_get" || row == "multi_get_uncached") multi_get(row.c_str());
      else if (row == "next") walk(true);
      else if (row == "prev") walk(false);
      else if (row == "scan_once") scan_once(path);
      else if (row == "open") open(path);
      else fail("--hot=" + row);
    }
  }
};

int main(int argc, char** argv) {
  std::map<std::string, std::string> args;
  for (int i = 1; i < argc; i++) {
    std::string arg = argv[i];
    size_t equals = arg.find('=');
    if (arg.compare(0, 2, "--") == 0 && equals != std::string::npos) args[arg.substr(2, equals - 2)] = arg.substr(equals + 1);
  }
  auto text = [&](const char* name, const char* otherwise) { return args.count(name) ? args[name] : std::string(otherwise); };
  auto number = [&](const char* name, uint64_t otherwise) {
    return args.count(name) ? strtoull(args[name].c_str(), nullptr, 10) : otherwise;
  };
  is_db = text("kind", "reader") == "db";
  std::string comp = text("comp", "none"), name = is_db ? "rocksdb-db" : "rocksdb";
  if (comp == "lz4") compression = rocksdb::kLZ4Compression;
  else if (comp == "zstd") compression = rocksdb::kZSTD;
  else if (comp != "none") fail("--comp=" + comp);

  fs::path rows_path = text("rows", "rows");
  fs::path dir = fs::path(text("dir", "data")) / (name + "-" + std::to_string(getpid()));
  fs::create_directories(dir);
  Run run{Rows(rows_path.string()), "", dir, number("cache", 1024) << 20, number("small", 16) << 20, number("tables", 200)};
  char head[400];
  snprintf(head, sizeof head,
           "\"table\":\"%s\",\"ver\":\"rocksdb %d.%d.%d\",\"rows\":\"%s\",\"comp\":\"%s\",\"n\":%zu,\"hash\":\"%016llx\",\"round\":%llu",
           name.c_str(), ROCKSDB_MAJOR, ROCKSDB_MINOR, ROCKSDB_PATCH, rows_path.stem().c_str(), comp.c_str(),
           run.rows.rows.size(), (unsigned long long)run.rows.hash, (unsigned long long)number("round", 0));
  run.head = head;
  std::string hot = text("hot", "");
  if (hot.empty()) run.all();
  else run.hot(hot, number("ms", 3000));
  run.table.reset();
  fs::remove_all(dir);
}
