// Decodes the number array of inference requests with simdjson's on-demand
// API, as the other side of BenchmarkDecodeNumbers.
//
// Usage: decode NUMBERS BATCH
// The working folder holds the documents, in files named 0, 1, ... For each
// line on standard input, the number of a batch, it decodes the batch's
// documents once and answers with one line: nanoseconds in all, and the sum of
// the middle number of each.
#include <simdjson.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

int main(int argc, char **argv) try {
  const size_t numbers = std::strtoull(argv[1], nullptr, 10);
  const size_t batch = std::strtoull(argv[2], nullptr, 10);
  std::vector<simdjson::padded_string> documents;
  simdjson::padded_string text;
  while (!simdjson::padded_string::load(std::to_string(documents.size())).get(text)) {
    documents.push_back(std::move(text));
  }
  simdjson::ondemand::parser parser;
  std::vector<float> out(numbers);
  char line[16];
  while (std::fgets(line, sizeof line, stdin)) {
    double sum = 0;
    const auto start = std::chrono::steady_clock::now();
    const size_t first = batch * std::strtoull(line, nullptr, 10);
    for (size_t i = first; i < first + batch; i++) {
      simdjson::ondemand::document doc = parser.iterate(documents.at(i));
      size_t k = 0;
      for (auto input : doc["inputs"].get_array()) {
        // Read as our decoder does: in the document's order, each key once.
        const std::string_view name = input["name"];
        size_t want = 1;
        for (int64_t dim : input["shape"].get_array()) want *= dim;
        const std::string_view type = input["datatype"];
        if (name.empty() || type != "FP32" || want != numbers) return 1;
        for (double v : input["data"].get_array()) {
          if (k == numbers) return 1;
          out[k++] = static_cast<float>(v);
        }
      }
      if (k != numbers) return 1;
      sum += out[k / 2];
    }
    const auto took = std::chrono::steady_clock::now() - start;
    std::printf("%lld %.17g\n",
                static_cast<long long>(std::chrono::duration_cast<std::chrono::nanoseconds>(took).count()), sum);
    std::fflush(stdout);
  }
  return 0;
} catch (const std::exception &e) {
  std::fprintf(stderr, "decode: %s\n", e.what());
  return 1;
}
