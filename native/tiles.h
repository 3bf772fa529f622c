/*
 * Tiles of products: TILE_ROWS gathered pixels × one panel of weights, whole or LANES wide. The forward pass, the input
 * gradient and the gradient of mask bits are made of them.
 */
#pragma once
#include <string.h>
#include "dots.h"

/** What one tile computes; `pixels` [taps][TILE_ROWS] point to the channels of the pixel that a row reads for a tap. */
typedef struct {
  const char *const *pixels;
  long taps;
  /** Where a tap's weights start, in dwords. */
  const long *tapOffsets;
  /** Dwords of a pixel. */
  long depth;
  const int32_t *weights;
  /** Memory for totals that registers do not hold: of sums in int16, widened after `chunk` dwords; of fixed16's scaled ones. */
  void *totals;
  long chunk;
} Tile;

#define STORE(P, VECTORS, sums) \
  UNROLL(16) for (int m = 0; m < TILE_ROWS; m++) { \
    if (m >= rows) break; \
    UNROLL(4) for (int n = 0; n < VECTORS; n++) { \
      Vector sum = P##_RESULT(sums[m][n]); \
      Vector scale = *(const Vector *)(scales + n * VECTOR); \
      *(Vector *)(outputs[m] + n * VECTOR) = sum * scale; \
    } \
  }

/** NAME(tile, scales, outputs, rows): outputs[row] = scales · Σ, for the first `rows` rows. */
#define DEFINE_TILE(NAME, P, VECTORS) \
  static void NAME(const Tile *tile, const float *scales, float *const *outputs, long rows) { \
    CLEAR(TILE_ROWS, VECTORS, P##_SUM, sums) \
    const long depth = tile->depth; \
    for (long t = 0; t < tile->taps; t++) { \
      const char *const *pixels = tile->pixels + t * TILE_ROWS; \
      const int32_t *weights = tile->weights + tile->tapOffsets[t]; \
      for (long k = 0; k < 4 * depth; k += 4) { \
        ACCUMULATE(P, TILE_ROWS, VECTORS, pixels[m] + k, weights) \
      } \
    } \
    STORE(P, VECTORS, sums) \
  }

/** The same with sums in int16, widened in memory: registers hold as many rows as with sums in int32. */
#define DEFINE_WIDENED_TILE(NAME, P, VECTORS) \
  static void NAME(const Tile *tile, const float *scales, float *const *outputs, long rows) { \
    IntVector(*total)[VECTORS] = (IntVector(*)[VECTORS])tile->totals; \
    memset(total, 0, sizeof(IntVector) * TILE_ROWS * VECTORS); \
    CLEAR(TILE_ROWS, VECTORS, P##_SUM, sums) \
    const long depth = tile->depth; \
    long left = tile->chunk; \
    for (long t = 0; t < tile->taps; t++) { \
      const char *const *pixels = tile->pixels + t * TILE_ROWS; \
      const int32_t *weights = tile->weights + tile->tapOffsets[t]; \
      for (long k = 0; k < 4 * depth;) { \
        const long end = minLong(4 * depth, k + 4 * left); \
        left -= (end - k) / 4; \
        for (; k < end; k += 4) { \
          ACCUMULATE(P, TILE_ROWS, VECTORS, pixels[m] + k, weights) \
        } \
        if (left > 0) continue; \
        left = tile->chunk; \
        WIDEN(P, VECTORS) \
      } \
    } \
    WIDEN(P, VECTORS) \
    STORE(INT8, VECTORS, total) \
  }

/** The same of fixed16, whose sums over a tap, or FIXED16_CHANNELS of it, are worth what its pixel says. */
#define DEFINE_SCALED_TILE(NAME, P, VECTORS) \
  static void NAME(const Tile *tile, const float *scales, float *const *outputs, long rows) { \
    Vector(*total)[VECTORS] = (Vector(*)[VECTORS])tile->totals; \
    memset(total, 0, sizeof(Vector) * TILE_ROWS * VECTORS); \
    const long depth = tile->depth; \
    for (long t = 0; t < tile->taps; t++) { \
      const char *const *pixels = tile->pixels + t * TILE_ROWS; \
      const int32_t *weights = tile->weights + tile->tapOffsets[t]; \
      for (long first = 0; first < depth; first += FIXED16_CHANNELS / 2) { \
        const long end = minLong(depth, first + FIXED16_CHANNELS / 2); \
        CLEAR(TILE_ROWS, VECTORS, P##_SUM, sums) \
        for (long k = 4 * first; k < 4 * end; k += 4) { \
          ACCUMULATE(P, TILE_ROWS, VECTORS, pixels[m] + k, weights) \
        } \
        UNROLL(16) for (int m = 0; m < TILE_ROWS; m++) { \
          const Vector unit = *unitOf(pixels[m], 2 * depth, 2 * first) - (Vector){0}; \
          UNROLL(4) for (int n = 0; n < VECTORS; n++) total[m][n] += unit * P##_FLOATS(sums[m][n]); \
        } \
      } \
    } \
    STORE(FLOAT, VECTORS, total) \
  }

#define WIDEN(P, VECTORS) \
  UNROLL(16) for (int m = 0; m < TILE_ROWS; m++) \
    UNROLL(4) for (int n = 0; n < VECTORS; n++) { \
      total[m][n] += P##_WIDEN(sums[m][n]); \
      sums[m][n] = (P##_SUM){0}; \
    }

/**
 * NAME(tile, segmentDepth, gradients, sums, stride): the tile's part of dL/dbit, for each segment of the weights, so many
 * dwords of every tap: sums[n] += Σ over rows of (Σ over the segment of pixels · weights) · the row's gradient of output n,
 * and on to the next segment's sums.
 */
#define DEFINE_MASK_TILE(NAME, P, VECTORS) \
  static void NAME(const Tile *tile, long segmentDepth, const float *const *gradients, float *bits, long stride) { \
    for (long first = 0; first < tile->depth; first += segmentDepth, bits += stride) { \
      const long end = minLong(tile->depth, first + segmentDepth); \
      CLEAR(TILE_ROWS, VECTORS, P##_SUM, sums) \
      for (long t = 0; t < tile->taps; t++) { \
        const char *const *pixels = tile->pixels + t * TILE_ROWS; \
        const int32_t *weights = tile->weights + tile->tapOffsets[t] + first * VECTORS * VECTOR; \
        for (long k = 4 * first; k < 4 * end; k += 4) { \
          ACCUMULATE(P, TILE_ROWS, VECTORS, pixels[m] + k, weights) \
        } \
      } \
      UNROLL(4) for (int n = 0; n < VECTORS; n++) { \
        Vector total = {0}; \
        UNROLL(16) for (int m = 0; m < TILE_ROWS; m++) \
          total += P##_FLOATS(sums[m][n]) * *(const Vector *)(gradients[m] + n * VECTOR); \
        *(Vector *)(bits + n * VECTOR) += total; \
      } \
    } \
  }

/* A panel is whole, or LANES wide where the last one is. */
DEFINE_TILE(floatTile, FLOAT, PANEL / VECTOR)
DEFINE_TILE(floatNarrowTile, FLOAT, LANES / VECTOR)

#if HAS_INT8
#if defined(INT8_IN_INT16)
#define DEFINE_INT8_TILE(NAME, VECTORS) DEFINE_WIDENED_TILE(NAME, INT16, VECTORS)
#define DEFINE_INT8_MASK_TILE(NAME, VECTORS) DEFINE_MASK_TILE(NAME, INT16, VECTORS)
#else
#define DEFINE_INT8_TILE(NAME, VECTORS) DEFINE_TILE(NAME, INT8, VECTORS)
#define DEFINE_INT8_MASK_TILE(NAME, VECTORS) DEFINE_MASK_TILE(NAME, INT8, VECTORS)
#endif
DEFINE_INT8_TILE(int8Tile, PANEL / VECTOR)
DEFINE_INT8_TILE(int8NarrowTile, LANES / VECTOR)
DEFINE_INT8_MASK_TILE(maskTile, PANEL / VECTOR)
DEFINE_INT8_MASK_TILE(narrowMaskTile, LANES / VECTOR)
#endif

#if HAS_BFLOAT16
DEFINE_TILE(bfloat16Tile, BFLOAT16, PANEL / VECTOR)
DEFINE_TILE(bfloat16NarrowTile, BFLOAT16, LANES / VECTOR)
#endif

#if HAS_FIXED16
DEFINE_SCALED_TILE(fixed16Tile, FIXED16, PANEL / VECTOR)
DEFINE_SCALED_TILE(fixed16NarrowTile, FIXED16, LANES / VECTOR)
#endif

typedef void (*TileFunction)(const Tile *, const float *, float *const *, long);

/** @param columns of the panel: PANEL or LANES */
static TileFunction tileFunction(int format, long columns) {
#if HAS_INT8
  if (format == LEVELS8) return columns == PANEL ? int8Tile : int8NarrowTile;
#endif
#if HAS_BFLOAT16
  if (format == BFLOAT16) return columns == PANEL ? bfloat16Tile : bfloat16NarrowTile;
#endif
#if HAS_FIXED16
  if (format == FIXED16) return columns == PANEL ? fixed16Tile : fixed16NarrowTile;
#endif
  (void)format;
  return columns == PANEL ? floatTile : floatNarrowTile;
}
