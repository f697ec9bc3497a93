// SPDX-License-Identifier: MIT
// The limits of this machine: what every other table is to be read against.
#include <memory>

#include "peak.hpp"

namespace {

bool register_limits() {
    bench::describe_peers();
    for (const int threads : bench::thread_counts()) {
        bench::add("peak_fma", "tare", "fp32", threads, 1e8, 0.0,
                   [] { return [] { bench::fma_peak(1e8); }; });
        // Each thread has its own share: the first sizes are per thread, as its caches are.
        for (const auto& [label, kib] : {std::pair<const char*, tare::extent>{"L1_16KiB", 16},
                                         {"L2_512KiB", 512},
                                         {"L3_8MiB", 8 * 1024},
                                         {"memory_256MiB", 256 * 1024}}) {
            const tare::extent share = kib > 64 * 1024 ? 1 : threads;
            const tare::extent count = kib * 256 * share;
            const double bytes = 4.0 * static_cast<double>(count);
            const auto buffer = [count] {
                return std::make_shared<tare::aligned_vector<float>>(
                    static_cast<std::size_t>(count));
            };
            bench::add("peak_read", "tare", label, threads, 0.0, bytes, [=] {
                return [b = buffer(), count] { bench::read_peak(b->data(), count); };
            });
            bench::add("peak_write", "tare", label, threads, 0.0, bytes, [=] {
                return [b = buffer(), count] { bench::write_peak(b->data(), count); };
            });
            // Half the size is read, half is written: together they fill the level.
            bench::add("peak_copy", "tare", label, threads, 0.0, bytes, [=] {
                return [b = buffer(), count] {
                    bench::copy_peak(b->data(), b->data() + count / 2, count / 2);
                };
            });
        }
    }
    return true;
}

const bool registered = register_limits();

}  // namespace
