/*
 * What matrix products are made of: sums of products of dwords, in the formats of operands.
 *
 * All operand types are read in dwords of one channel (float32), two (bfloat16, fixed16) or four (uint8 × int8): one dword
 * of a pixel, broadcast, meets a vector of dwords of as many output channels. Weights lie in panels of PANEL output
 * channels, the last one LANES narrow where their number asks for it: [panel][tap][dword][PANEL].
 */
#pragma once
#include "xbm.h"

/** Channels in a dword. */
static inline long perDword(int format) { return 4 / bytesPerValue(format); }

#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n) PRAGMA(GCC unroll n)

/* Operand types are prefixes P of macros: P_SUM (a type of vectors), P_DOT (sum + a · b, of dwords), P_RESULT (as floats). */

#define CLEAR(ROWS, VECTORS, SUM, sums) \
  SUM sums[ROWS][VECTORS]; \
  UNROLL(16) for (int m = 0; m < ROWS; m++) \
    UNROLL(4) for (int n = 0; n < VECTORS; n++) sums[m][n] = (SUM){0};

/** sums[m][n] += what lies at `dword` of row m · vector n of the columns */
#define ACCUMULATE(P, ROWS, VECTORS, dword, start) \
  IntVector columns[VECTORS]; \
  UNROLL(4) for (int n = 0; n < VECTORS; n++) columns[n] = *(const IntVector *)(start + n * VECTOR); \
  start += VECTORS * VECTOR; \
  UNROLL(16) for (int m = 0; m < ROWS; m++) { \
    IntVector value = *(const Dword *)(dword) - (IntVector){0}; \
    UNROLL(4) for (int n = 0; n < VECTORS; n++) sums[m][n] = P##_DOT(sums[m][n], value, columns[n]); \
  }

#define FLOAT_SUM Vector
#if defined(__AVX512F__)
#define FLOAT_DOT(sum, a, b) ((Vector)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(sum)))
#else
#define FLOAT_DOT(sum, a, b) ((sum) + (Vector)(a) * (Vector)(b))
#endif
#define FLOAT_RESULT(sum) (sum)

#if HAS_INT8
#define INT8_SUM IntVector
#define INT8_RESULT(sum) __builtin_convertvector(sum, Vector)
#if defined(INT8_IN_INT16)
typedef int16_t ShortVector __attribute__((vector_size(4 * VECTOR), aligned(4)));
#define INT16_SUM ShortVector
#if defined(__AVX512F__)
#define INT16_DOT(sum, a, b) ((sum) + (ShortVector)_mm512_maddubs_epi16((__m512i)(a), (__m512i)(b)))
#define INT16_WIDEN(sum) ((IntVector)_mm512_madd_epi16((__m512i)(sum), _mm512_set1_epi16(1)))
#else
#define INT16_DOT(sum, a, b) ((sum) + (ShortVector)_mm256_maddubs_epi16((__m256i)(a), (__m256i)(b)))
#define INT16_WIDEN(sum) ((IntVector)_mm256_madd_epi16((__m256i)(sum), _mm256_set1_epi16(1)))
#endif
#define INT16_FLOATS(sum) INT8_RESULT(INT16_WIDEN(sum))
#else
#define INT8_FLOATS INT8_RESULT
#if defined(__AVX512F__)
#define INT8_DOT(sum, a, b) ((IntVector)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b)))
#elif defined(__AVXVNNI__)
#define INT8_DOT(sum, a, b) ((IntVector)_mm256_dpbusd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(b)))
#elif defined(__ARM_FEATURE_MATMUL_INT8)
#define INT8_DOT(sum, a, b) ((IntVector)vusdotq_s32((int32x4_t)(sum), (uint8x16_t)(a), (int8x16_t)(b)))
#else
#define INT8_DOT(sum, a, b) ((IntVector)vdotq_s32((int32x4_t)(sum), (int8x16_t)(a), (int8x16_t)(b)))
#endif
#endif
#endif

#if HAS_BFLOAT16
#define BFLOAT16_SUM Vector
#define BFLOAT16_RESULT(sum) (sum)
#if defined(__AVX512F__)
#define BFLOAT16_DOT(sum, a, b) ((Vector)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))
#else
#define BFLOAT16_PAIRS(x) vreinterpretq_bf16_s32((int32x4_t)(x))
#define BFLOAT16_DOT(sum, a, b) ((Vector)vbfdotq_f32((float32x4_t)(sum), BFLOAT16_PAIRS(a), BFLOAT16_PAIRS(b)))
#endif
#endif

#if HAS_FIXED16
#define FIXED16_SUM IntVector
#define FIXED16_FLOATS(sum) __builtin_convertvector(sum, Vector)
#if defined(__AVX512VNNI__)
#define FIXED16_DOT(sum, a, b) ((IntVector)_mm512_dpwssd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b)))
#elif defined(__AVX512F__)
#define FIXED16_DOT(sum, a, b) ((sum) + (IntVector)_mm512_madd_epi16((__m512i)(a), (__m512i)(b)))
#elif defined(__AVXVNNI__)
#define FIXED16_DOT(sum, a, b) ((IntVector)_mm256_dpwssd_avx_epi32((__m256i)(sum), (__m256i)(a), (__m256i)(b)))
#else
#define FIXED16_DOT(sum, a, b) ((sum) + (IntVector)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#endif
#endif

/* ---- Values as floats, a vector at a time ---- */

#if HAS_BFLOAT16
static inline Vector bfloat16ToFloats(const uint16_t *values) {
#if defined(__AVX512F__)
  return (Vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)values)), 16);
#else
  return (Vector)vshll_n_u16(vld1_u16(values), 16);
#endif
}
#endif

#if HAS_FIXED16
static inline Vector fixed16ToFloats(const int16_t *values) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)values)));
#else
  return (Vector)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)values)));
#endif
}
#endif

_Static_assert(FIXED16_CHANNELS % VECTOR == 0 && FIXED16_CHANNELS % PANEL == 0, "a vector has two units");

/** `count` channels from `first` on, multiples of VECTOR, of a pixel of gradients. */
static inline void readFloats(const char *pixel, int format, long channels, long first, long count, float *values) {
  for (long c = 0; c < count; c += VECTOR) {
#if HAS_FIXED16
    if (format == FIXED16) {
      const Vector unit = *unitOf(pixel, channels, first + c) - (Vector){0};
      *(Vector *)(values + c) = unit * fixed16ToFloats((const int16_t *)pixel + first + c);
      continue;
    }
#endif
#if HAS_BFLOAT16
    if (format == BFLOAT16) {
      *(Vector *)(values + c) = bfloat16ToFloats((const uint16_t *)pixel + first + c);
      continue;
    }
#endif
    *(Vector *)(values + c) = *(const Vector *)((const float *)pixel + first + c);
  }
  (void)format;
  (void)channels;
}
