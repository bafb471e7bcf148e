// Decodes the number array of inference requests with simdjson's on-demand
// API, as the other side of BenchmarkDecodeNumbers.
//
// Usage: decode NUMBERS FILE...
// For each line on standard input it decodes every file once, in order, and
// answers with one line: nanoseconds in all, and the sum of all numbers.
#include <simdjson.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

int main(int argc, char **argv) try {
  const size_t numbers = std::strtoull(argv[1], nullptr, 10);
  std::vector<simdjson::padded_string> documents;
  for (int i = 2; i < argc; i++) {
    documents.push_back(simdjson::padded_string::load(argv[i]));
  }
  simdjson::ondemand::parser parser;
  std::vector<float> out(numbers);
  char line[16];
  while (std::fgets(line, sizeof line, stdin)) {
    double sum = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const auto &text : documents) {
      simdjson::ondemand::document doc = parser.iterate(text);
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
