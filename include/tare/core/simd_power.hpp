#pragma once
// SPDX-License-Identifier: MIT
// Products with powers of two, the last step of an exponential.

#include <tare/core/simd.hpp>

#ifndef TARE_NO_SIMD
// As in simd.hpp.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace tare::simd {

/// v * 2^n for integral n of any size up to 2^22, rounded once (subnormal results included). |v|
/// must lie in [1/4, 4).
inline floats multiply_power(floats v, floats n) {
#if defined(TARE_SIMD_512)
    return _mm512_scalef_ps(v, n);
#else
    // Two normal factors, clamped where the result is 0 or infinite anyway. The first product
    // is exact, so rounding happens once, in the second.
    const floats bounded = max(min(n, broadcast(252.0F)), broadcast(-252.0F));
    const floats magic = broadcast(0x1.8p23F);
    const ints whole = add(as_ints(bounded + magic), as_ints(broadcast(0.0F)) - as_ints(magic));
    const ints half = shift_right(whole, 1);
    const ints one = as_ints(broadcast(1.0F));
    const floats first = as_floats(add(shift_left(half, 23), one));
    const floats second = as_floats(add(shift_left(whole - half, 23), one));
    return v * first * second;
#endif
}

/// v * 2^n for shifted = n + 1.5 * 2^23 and integral -126 <= n <= 127; cheaper than multiply_power
/// where the machine has no instruction for it. NaN in v stays.
inline floats multiply_near_power(floats v, floats shifted) {
#if defined(TARE_SIMD_512)
    return _mm512_scalef_ps(v, shifted - broadcast(0x1.8p23F));
#else
    // The low bits of `shifted` are n: moved onto the exponent of 1 they make 2^n.
    return v * as_floats(add(shift_left(as_ints(shifted), 23), as_ints(broadcast(1.0F))));
#endif
}

/// The same where m, zero elsewhere.
inline floats multiply_near_power(masks m, floats v, floats shifted) {
#if defined(TARE_SIMD_512)
    return _mm512_maskz_scalef_ps(m, v, shifted - broadcast(0x1.8p23F));
#else
    return keep(m, multiply_near_power(v, shifted));
#endif
}

}  // namespace tare::simd

#ifndef TARE_NO_SIMD
#pragma GCC diagnostic pop
#endif
