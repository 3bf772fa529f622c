/*
 * The matrix products of convolutions and of the head: an implicit GEMM whose rows are gathered pixel by pixel (forward
 * and input gradient), and sums of outer products over pixels (weight gradient).
 *
 * All operand types are read in dwords of one channel (float32), two (bfloat16, fixed16) or four (uint8 × int8): one dword of a
 * pixel, broadcast, meets a vector of dwords of as many output channels. Weights lie in panels of PANEL output channels, the
 * last one LANES narrow where their number asks for it: [panel][tap][dword][PANEL].
 */
#include <string.h>
#include "xbm.h"

/* ---- Tiles: TILE_ROWS pixels × one panel, whole or LANES wide ---- */

/** What one tile computes; `pixels` [taps][TILE_ROWS] point to the channels of the pixel that a row reads for a tap. */
typedef struct {
  const char *const *pixels;
  long taps;
  /** Where a tap's weights start, in dwords. */
  const long *tapOffsets;
  /** Dwords of a pixel. */
  long depth;
  const int32_t *weights;
  /** Sums in int16 are added to int32 in this memory after as many dwords. */
  int32_t *totals;
  long chunk;
} Tile;

static inline Vector bfloat16ToFloats(const uint16_t *values) {
#if defined(__AVX512F__)
  return (Vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)values)), 16);
#elif defined(__aarch64__)
  return (Vector)vshll_n_u16(vld1_u16(values), 16);
#else
  IntVector bits;
  for (int i = 0; i < VECTOR; i++) bits[i] = (int32_t)((uint32_t)values[i] << 16);
  return (Vector)bits;
#endif
}

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
    IntVector value = *(const int32_t *)(dword) - (IntVector){0}; \
    UNROLL(4) for (int n = 0; n < VECTORS; n++) sums[m][n] = P##_DOT(sums[m][n], value, columns[n]); \
  }

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
 * and on to the next segment's sums. GRADIENT: how gradients lie there.
 */
#define DEFINE_MASK_TILE(NAME, P, GRADIENT, VECTORS) \
  static void NAME(const Tile *tile, long segmentDepth, const char *const *gradients, float *bits, long stride) { \
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
          total += P##_FLOATS(sums[m][n]) * GRADIENT(gradients[m], n * VECTOR); \
        *(Vector *)(bits + n * VECTOR) += total; \
      } \
    } \
  }

/** NAME(a, b, depth, c, cStride, add): c[m][n] (+)= Σ over k of a[k][m] · b[k][n]; OUTER_ROWS rows. */
#define DEFINE_OUTER(NAME, P, VECTORS) \
  static void NAME(const int32_t *a, const int32_t *b, long depth, float *c, long cStride, int add) { \
    CLEAR(OUTER_ROWS, VECTORS, P##_SUM, sums) \
    for (long k = 0; k < depth; k++) { \
      ACCUMULATE(P, OUTER_ROWS, VECTORS, a + m, b) \
      a += OUTER_ROWS; \
    } \
    UNROLL(16) for (int m = 0; m < OUTER_ROWS; m++) \
      UNROLL(4) for (int n = 0; n < VECTORS; n++) { \
        Vector *target = (Vector *)(c + m * cStride + n * VECTOR); \
        Vector sum = P##_RESULT(sums[m][n]); \
        *target = add ? *target + sum : sum; \
      } \
  }

#define FLOAT_SUM Vector
#if defined(__AVX512F__)
#define FLOAT_DOT(sum, a, b) ((Vector)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(sum)))
#else
#define FLOAT_DOT(sum, a, b) ((sum) + (Vector)(a) * (Vector)(b))
#endif
#define FLOAT_RESULT(sum) (sum)

/* A panel is whole, or LANES wide where the last one is. */
DEFINE_TILE(floatTile, FLOAT, PANEL / VECTOR)
#if PANEL > LANES
DEFINE_TILE(floatNarrowTile, FLOAT, LANES / VECTOR)
#else
#define floatNarrowTile floatTile
#endif
DEFINE_OUTER(floatOuter, FLOAT, OUTER_COLUMNS / VECTOR)
#if OUTER_COLUMNS > LANES
DEFINE_OUTER(floatNarrowOuter, FLOAT, LANES / VECTOR)
#else
#define floatNarrowOuter floatOuter
#endif

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
#define DEFINE_INT8_TILE(NAME, VECTORS) DEFINE_WIDENED_TILE(NAME, INT16, VECTORS)
#define DEFINE_INT8_MASK_TILE(NAME, GRADIENT, VECTORS) DEFINE_MASK_TILE(NAME, INT16, GRADIENT, VECTORS)
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
#define DEFINE_INT8_TILE(NAME, VECTORS) DEFINE_TILE(NAME, INT8, VECTORS)
#define DEFINE_INT8_MASK_TILE(NAME, GRADIENT, VECTORS) DEFINE_MASK_TILE(NAME, INT8, GRADIENT, VECTORS)
#endif
#define FLOAT_GRADIENT(at, n) (*(const Vector *)((const float *)(at) + (n)))
#define BFLOAT16_GRADIENT(at, n) bfloat16ToFloats((const uint16_t *)(at) + (n))
DEFINE_INT8_TILE(int8Tile, PANEL / VECTOR)
DEFINE_INT8_MASK_TILE(floatMaskTile, FLOAT_GRADIENT, PANEL / VECTOR)
DEFINE_INT8_MASK_TILE(bfloat16MaskTile, BFLOAT16_GRADIENT, PANEL / VECTOR)
#if PANEL > LANES
DEFINE_INT8_TILE(int8NarrowTile, LANES / VECTOR)
DEFINE_INT8_MASK_TILE(floatNarrowMaskTile, FLOAT_GRADIENT, LANES / VECTOR)
DEFINE_INT8_MASK_TILE(bfloat16NarrowMaskTile, BFLOAT16_GRADIENT, LANES / VECTOR)
#else
#define int8NarrowTile int8Tile
#define floatNarrowMaskTile floatMaskTile
#define bfloat16NarrowMaskTile bfloat16MaskTile
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
DEFINE_TILE(bfloat16Tile, BFLOAT16, PANEL / VECTOR)
#if PANEL > LANES
DEFINE_TILE(bfloat16NarrowTile, BFLOAT16, LANES / VECTOR)
#else
#define bfloat16NarrowTile bfloat16Tile
#endif
DEFINE_OUTER(bfloat16Outer, BFLOAT16, OUTER_COLUMNS / VECTOR)
#if OUTER_COLUMNS > LANES
DEFINE_OUTER(bfloat16NarrowOuter, BFLOAT16, LANES / VECTOR)
#else
#define bfloat16NarrowOuter bfloat16Outer
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
DEFINE_SCALED_TILE(fixed16Tile, FIXED16, PANEL / VECTOR)
#if PANEL > LANES
DEFINE_SCALED_TILE(fixed16NarrowTile, FIXED16, LANES / VECTOR)
#else
#define fixed16NarrowTile fixed16Tile
#endif

static inline Vector fixed16ToFloats(const int16_t *values) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)values)));
#else
  return (Vector)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)values)));
#endif
}
#endif

/** As many channels from this one on, a multiple of VECTOR, of a pixel of float32 or fixed16. */
static inline void readFloats(const char *pixel, int format, long channels, long first, long count, float *values) {
  for (long c = 0; c < count; c += VECTOR) {
#if HAS_FIXED16
    if (format == FIXED16) {
      const Vector unit = *unitOf(pixel, channels, first + c) - (Vector){0};
      *(Vector *)(values + c) = unit * fixed16ToFloats((const int16_t *)pixel + first + c);
      continue;
    }
#endif
    *(Vector *)(values + c) = *(const Vector *)((const float *)pixel + first + c);
  }
  (void)format;
  (void)channels;
}

typedef void (*MaskTileFunction)(const Tile *, long, const char *const *, float *, long);
typedef void (*TileFunction)(const Tile *, const float *, float *const *, long);
typedef void (*OuterFunction)(const int32_t *, const int32_t *, long, float *, long, int);

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

/** @param columns OUTER_COLUMNS or LANES */
static OuterFunction outerFunction(int format, long columns) {
#if HAS_BFLOAT16
  if (format == BFLOAT16) return columns == OUTER_COLUMNS ? bfloat16Outer : bfloat16NarrowOuter;
#endif
  (void)format;
  return columns == OUTER_COLUMNS ? floatOuter : floatNarrowOuter;
}

/** Channels in a dword. */
static long perDword(int format) { return 4 / bytesPerValue(format); }

/* ---- Gathering: forward pass and input gradient ---- */

#define MAX_TAPS (MAX_KERNEL * MAX_KERNEL)

/**
 * One pass over a grid of target pixels (all of them, or those of one phase of a strided convolution's input gradient).
 * Target (i·targetStep + targetRow, j·targetStep + targetColumn) reads, for each tap, source (i·step + dy, j·step + dx).
 */
typedef struct {
  long rows, columns;
  long targetStep, targetRow, targetColumn;
  long step;
  long taps;
  long dy[MAX_TAPS], dx[MAX_TAPS], tap[MAX_TAPS];
} Pass;

/** Pieces of one kernel call: enough to share out among many threads. */
#define ENOUGH_PIECES 48
/** A block's pixels should stay in the second-level cache while all panels of weights pass by. */
#define BLOCK_BYTES (192 * 1024)

typedef struct {
  const Pass *pass;
  const char *x;
  const char *zeros;
  const int32_t *w;
  const float *scales;
  float *y;
  int format;
  /** Dwords whose sums fit in int16. */
  long chunk;
  long kernel, stride, padding;
  long sourceHeight, sourceWidth, sourceBytes;
  long targetHeight, targetWidth, targetChannels;
  long depth, totalTaps;
  long pixels, pixelsPerBlock, panels, panelsPerPiece, pieces;
} Gather;

/** Pixels that are computed together, a tile after the other. */
typedef struct {
  long count, tiles;
  /** What rows read for the taps, [tile][tap][TILE_ROWS]; zeros where there is nothing. */
  const char **pixels;
  /** Which target pixel a row is, [tile][TILE_ROWS]. */
  long *targets;
} Block;

/** In this thread's scratch memory. */
static Block openBlock(const Gather *g, long index) {
  const Pass *pass = g->pass;
  const long first = index * g->pixelsPerBlock;
  const long count = maxLong(0, minLong(g->pixels - first, g->pixelsPerBlock));
  const long tiles = ceilDivide(count, TILE_ROWS), rows = tiles * TILE_ROWS;
  const long perImage = pass->rows * pass->columns;
  const char **pixels = scratch((size_t)rows * ((size_t)pass->taps * sizeof(char *) + sizeof(long)));
  long *targets = (long *)(pixels + pass->taps * rows);
  for (long n = 0; n < rows; n++) {
    const long q = first + n;
    const int exists = n < count;
    const long image = q / perImage, i = q % perImage / pass->columns, j = q % pass->columns;
    const long row = i * pass->targetStep + pass->targetRow, column = j * pass->targetStep + pass->targetColumn;
    targets[n] = (image * g->targetHeight + row) * g->targetWidth + column;
    const char **slot = pixels + n / TILE_ROWS * pass->taps * TILE_ROWS + n % TILE_ROWS;
    for (long t = 0; t < pass->taps; t++, slot += TILE_ROWS) {
      const long h = i * pass->step + pass->dy[t], w = j * pass->step + pass->dx[t];
      const int inside = exists && h >= 0 && h < g->sourceHeight && w >= 0 && w < g->sourceWidth;
      *slot = inside ? g->x + ((image * g->sourceHeight + h) * g->sourceWidth + w) * g->sourceBytes : g->zeros;
    }
  }
  return (Block){ .count = count, .tiles = tiles, .pixels = pixels, .targets = targets };
}

static void gatherPiece(void *data, long index) {
  const Gather *g = data;
  const Pass *pass = g->pass;
  const long firstPanel = index % g->pieces * g->panelsPerPiece;
  const long endPanel = minLong(g->panels, firstPanel + g->panelsPerPiece);
  const Block block = openBlock(g, index / g->pieces);

  long tapOffsets[MAX_TAPS];
  int32_t totals[TILE_ROWS * PANEL] __attribute__((aligned(ALIGNMENT)));
  for (long panel = firstPanel; panel < endPanel; panel++) {
    const long columns = minLong(PANEL, g->targetChannels - panel * PANEL);
    const TileFunction tile = tileFunction(g->format, columns);
    for (long t = 0; t < pass->taps; t++) tapOffsets[t] = pass->tap[t] * g->depth * columns;
    Tile arguments = {
      .taps = pass->taps,
      .tapOffsets = tapOffsets,
      .depth = g->depth,
      .weights = g->w + panel * PANEL * g->totalTaps * g->depth,
      .totals = totals,
      .chunk = g->chunk,
    };
    for (long n = 0; n < block.tiles; n++) {
      const long rows = minLong(TILE_ROWS, block.count - n * TILE_ROWS);
      float *outputs[TILE_ROWS];
      for (long m = 0; m < rows; m++)
        outputs[m] = g->y + block.targets[n * TILE_ROWS + m] * g->targetChannels + panel * PANEL;
      arguments.pixels = block.pixels + n * pass->taps * TILE_ROWS;
      tile(&arguments, g->scales + panel * PANEL, outputs, rows);
    }
  }
}

/** The pass over all targets, or with `transposed` over those of a phase: of the row and column `phase` in a stride. */
static void openPass(Pass *pass, const Gather *g, int transposed, long phase) {
  const long kernel = g->kernel, stride = g->stride, padding = g->padding;
  const long phases = transposed ? stride : 1;
  pass->targetStep = phases;
  pass->targetRow = phase / phases;
  pass->targetColumn = phase % phases;
  pass->rows = ceilDivide(g->targetHeight - pass->targetRow, phases);
  pass->columns = ceilDivide(g->targetWidth - pass->targetColumn, phases);
  pass->step = transposed ? 1 : stride;
  pass->taps = 0;
  for (long tap = 0; tap < kernel * kernel; tap++) {
    long dy = tap / kernel - padding, dx = tap % kernel - padding;
    if (transposed) {
      dy = pass->targetRow - dy;
      dx = pass->targetColumn - dx;
      if (dy % stride != 0 || dx % stride != 0) continue;
      dy /= stride;
      dx /= stride;
    }
    pass->dy[pass->taps] = dy;
    pass->dx[pass->taps] = dx;
    pass->tap[pass->taps++] = tap;
  }
}

/**
 * `transposed` 0: y [batch, outHeight, outWidth, outChannels] from x [batch, inHeight, inWidth, inChannels].
 * `transposed` 1: the gradient of the input, y [batch, inHeight, inWidth, inChannels] from x [batch, outHeight, outWidth,
 * outChannels]; a pixel between strides reads only the taps that reached it.
 *
 * `largestProduct`: of a level of x and one of w, in magnitude; any number where format is not LEVELS8.
 */
void gather(const Context *context, const gatherCall *call) {
  const int transposed = (int)call->transposed;
  const long kernel = (long)call->kernel, batch = (long)call->batch;
  Gather g = {
    .format = (int)call->format, .totalTaps = kernel * kernel,
    .kernel = kernel, .stride = (long)call->stride, .padding = (long)call->padding,
  };
  g.x = TENSOR(char, x);
  g.zeros = TENSOR(char, zeros);
  g.w = TENSOR(int32_t, w);
  g.y = TENSOR(float, y);
  g.scales = TENSOR(float, scales);
  g.sourceHeight = (long)(transposed ? call->outHeight : call->inHeight);
  g.sourceWidth = (long)(transposed ? call->outWidth : call->inWidth);
  g.targetHeight = (long)(transposed ? call->inHeight : call->outHeight);
  g.targetWidth = (long)(transposed ? call->inWidth : call->outWidth);
  g.targetChannels = (long)(transposed ? call->inChannels : call->outChannels);
  const long sourceChannels = (long)(transposed ? call->outChannels : call->inChannels);
  g.chunk = maxLong(1, INT16_MAX / (2 * maxLong(1, (long)call->largestProduct)));
  g.sourceBytes = bytesPerPixel(g.format, sourceChannels);
  g.depth = sourceChannels / perDword(g.format);
  g.panels = ceilDivide(g.targetChannels, PANEL);

  Pass pass;
  g.pass = &pass;
  const long phases = transposed ? (long)call->stride : 1;
  for (long phase = 0; phase < phases * phases; phase++) {
    openPass(&pass, &g, transposed, phase);
    g.pixels = batch * pass.rows * pass.columns;
    if (g.pixels <= 0) continue;
    const long fitting = maxLong(4, BLOCK_BYTES / (g.sourceBytes * TILE_ROWS));
    const long tiles = ceilDivide(g.pixels, TILE_ROWS);
    g.pixelsPerBlock = TILE_ROWS * minLong(fitting, maxLong(4, ceilDivide(tiles, ENOUGH_PIECES)));
    const long blocks = ceilDivide(g.pixels, g.pixelsPerBlock);
    g.panelsPerPiece = ceilDivide(g.panels, minLong(g.panels, ceilDivide(ENOUGH_PIECES, blocks)));
    g.pieces = ceilDivide(g.panels, g.panelsPerPiece);
    parallel(context->pool, blocks * g.pieces, gatherPiece, &g);
  }
}

/* ---- Gradient of mask bits ---- */

#if HAS_INT8

typedef struct {
  Gather gather;
  const char *dy;
  float *sums;
  int format;
  long segmentDepth, bitsPerFilter;
} MaskGradient;

/** @param columns of the panel: PANEL or LANES */
static MaskTileFunction maskTileFunction(int format, long columns) {
  if (format == BFLOAT16) return columns == PANEL ? bfloat16MaskTile : bfloat16NarrowMaskTile;
  return columns == PANEL ? floatMaskTile : floatNarrowMaskTile;
}

static void maskGradientPiece(void *data, long index) {
  const MaskGradient *m = data;
  const Gather *g = &m->gather;
  const long firstPanel = index % g->pieces * g->panelsPerPiece;
  const long endPanel = minLong(g->panels, firstPanel + g->panelsPerPiece);
  const Block block = openBlock(g, index / g->pieces);
  const long stride = g->targetChannels;
  const long gradientBytes = bytesPerPixel(m->format, stride);
  float converted[TILE_ROWS][PANEL] __attribute__((aligned(ALIGNMENT)));
  float *sums = m->sums + index / g->pieces * m->bitsPerFilter * stride;
  long tapOffsets[MAX_TAPS];
  for (long panel = firstPanel; panel < endPanel; panel++) {
    const long columns = minLong(PANEL, stride - panel * PANEL);
    const MaskTileFunction tile = maskTileFunction(m->format, columns);
    for (long t = 0; t < g->pass->taps; t++) tapOffsets[t] = t * g->depth * columns;
    Tile arguments = {
      .taps = g->pass->taps,
      .tapOffsets = tapOffsets,
      .depth = minLong(g->depth, m->bitsPerFilter * m->segmentDepth), // beyond it is padding
      .weights = g->w + panel * PANEL * g->totalTaps * g->depth,
    };
    for (long bit = 0; bit < m->bitsPerFilter; bit++)
      memset(sums + bit * stride + panel * PANEL, 0, sizeof(float) * (size_t)columns);
    for (long n = 0; n < block.tiles; n++) {
      const char *gradients[TILE_ROWS];
      for (long r = 0; r < TILE_ROWS; r++) {
        // Rows beyond the last read zeros, so that any gradient will do.
        const long target = block.targets[minLong(n * TILE_ROWS + r, block.count - 1)];
        const char *pixel = m->dy + target * gradientBytes;
        gradients[r] = pixel + panel * PANEL * bytesPerValue(m->format);
        if (m->format != FIXED16) continue;
        readFloats(pixel, FIXED16, stride, panel * PANEL, columns, converted[r]);
        gradients[r] = (const char *)converted[r];
      }
      arguments.pixels = block.pixels + n * g->pass->taps * TILE_ROWS;
      tile(&arguments, m->segmentDepth, gradients, sums + panel * PANEL, stride);
    }
  }
}

#endif

/**
 * The gradient of mask bits without that of the weights: a bit switches what its segment adds to an output, so dL/dbit is
 * the sum over pixels of that · dL/doutput. x are levels, w the panels of the frozen weights; a segment is all taps of
 * `segmentChannels` channels, a multiple of four, and sums of one product per dword are at most INT8_SUM_LIMIT.
 * sums [blocks][bitsPerFilter, outChannels]: the sum over the blocks is the gradient. Only where there are int8 products.
 */
void maskGradient(const Context *context, const maskGradientCall *call) {
#if HAS_INT8
  const long kernel = (long)call->kernel, outChannels = (long)call->outChannels;
  MaskGradient m = {
    .gather = {
      .x = TENSOR(char, x), .zeros = TENSOR(char, zeros), .w = TENSOR(int32_t, w),
      .kernel = kernel, .stride = (long)call->stride, .padding = (long)call->padding,
      .sourceHeight = (long)call->inHeight, .sourceWidth = (long)call->inWidth, .sourceBytes = (long)call->inChannels,
      .targetHeight = (long)call->outHeight, .targetWidth = (long)call->outWidth, .targetChannels = outChannels,
      .depth = (long)call->inChannels / 4, .totalTaps = kernel * kernel,
      .panels = ceilDivide(outChannels, PANEL),
    },
    .dy = TENSOR(char, dy), .sums = TENSOR(float, sums), .format = (int)call->format,
    .segmentDepth = (long)call->segmentChannels / 4, .bitsPerFilter = (long)call->bitsPerFilter,
  };
  Gather *g = &m.gather;
  Pass pass;
  openPass(&pass, g, 0, 0);
  g->pass = &pass;
  g->pixels = (long)call->batch * pass.rows * pass.columns;
  const long blocks = (long)call->blocks;
  g->pixelsPerBlock = TILE_ROWS * ceilDivide(ceilDivide(g->pixels, TILE_ROWS), blocks);
  g->panelsPerPiece = ceilDivide(g->panels, minLong(g->panels, ceilDivide(ENOUGH_PIECES, blocks)));
  g->pieces = ceilDivide(g->panels, g->panelsPerPiece);
  parallel(context->pool, blocks * g->pieces, maskGradientPiece, &m);
#else
  (void)context;
  (void)call;
  __builtin_trap();
#endif
}

/* ---- Weight gradient ---- */

/** Pixels whose gradients are packed at a time, for GRADIENT_CHANNELS input channels. */
#define GRADIENT_PIXELS 256

typedef struct {
  const Context *context;
  const weightGradientCall *call;
  long inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, kernel, stride, padding;
  long splits, channelBlocks, pixels, pixelsPerSplit;
} WeightGradient;

/** An output pixel, and what a tap reads for it. */
typedef struct {
  const WeightGradient *g;
  const char *x;
  long pixelBytes, dy, dx, image, i, j;
} Walk;

static Walk walkFrom(const WeightGradient *g, const char *x, long pixelBytes, long q, long tap) {
  const long perImage = g->outHeight * g->outWidth;
  return (Walk){
    .g = g, .x = x, .pixelBytes = pixelBytes,
    .dy = tap / g->kernel - g->padding, .dx = tap % g->kernel - g->padding,
    .image = q / perImage, .i = q % perImage / g->outWidth, .j = q % g->outWidth,
  };
}

/** The pixel that the tap reads, or NULL in the padding; goes on to the next output pixel. */
static inline const char *nextSource(Walk *walk) {
  const WeightGradient *g = walk->g;
  const long h = walk->i * g->stride + walk->dy, w = walk->j * g->stride + walk->dx;
  const long image = walk->image;
  if (++walk->j == g->outWidth) {
    walk->j = 0;
    if (++walk->i == g->outHeight) {
      walk->i = 0;
      walk->image++;
    }
  }
  if (h < 0 || h >= g->inHeight || w < 0 || w >= g->inWidth) return NULL;
  return walk->x + ((image * g->inHeight + h) * g->inWidth + w) * walk->pixelBytes;
}

static const char zeroPixel[GRADIENT_CHANNELS * 4] __attribute__((aligned(ALIGNMENT)));

static inline Vector levelsToFloats(const uint8_t *levels) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)levels)));
#elif defined(__AVX2__)
  return (Vector)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)levels)));
#elif defined(__aarch64__)
  uint32_t four;
  memcpy(&four, levels, 4);
  return (Vector)vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
#else
  Vector values;
  for (int i = 0; i < VECTOR; i++) values[i] = levels[i];
  return values;
#endif
}

static inline Vector loadValues(const char *at, int format) {
  return format == LEVELS8 ? levelsToFloats((const uint8_t *)at) : *(const Vector *)at;
}

/** A vector of channels of two pixels side by side, low halves first. Values must be exact in bfloat16, or are cut to it. */
static inline IntVector pairValues(const char *first, const char *second, int format) {
  const IntVector low = (IntVector)loadValues(first, format), high = (IntVector)loadValues(second, format);
  return ((low >> 16) & 0xffff) | (high & (int32_t)0xffff0000);
}

/**
 * Dwords between two blocks of packed inputs. A product reads OUTER_ROWS channels of one pixel after the other, so these lie
 * together, [block of channels][step][OUTER_ROWS]; blocks that lay a power of two apart would meet in the same cache lines.
 */
#define BLOCK_STRIDE (OUTER_ROWS * GRADIENT_PIXELS + LANES)

/**
 * What the tap reads for `count` output pixels, as above: a step is one pixel, or two (`perStep`).
 * @return steps
 */
static long packInputs(Walk walk, int format, long perStep, long count, long channels, int32_t *packed) {
  const long bytes = bytesPerValue(format);
  int32_t *step = packed;
  for (long k = 0; k < count; k += perStep, step += OUTER_ROWS) {
    const char *pixel = nextSource(&walk);
    if (!pixel) pixel = zeroPixel;
    const char *next = perStep == 2 && k + 1 < count ? nextSource(&walk) : NULL;
    if (!next) next = zeroPixel;
    for (long c = 0; c < channels; c += VECTOR) {
      const IntVector values = perStep == 2 ? pairValues(pixel + c * bytes, next + c * bytes, format)
                                            : (IntVector)loadValues(pixel + c * bytes, format);
      for (long r = 0; r < VECTOR; r += OUTER_ROWS)
        memcpy(step + (c + r) / OUTER_ROWS * BLOCK_STRIDE, (const int32_t *)&values + r, sizeof(int32_t) * OUTER_ROWS);
    }
  }
  return (step - packed) / OUTER_ROWS;
}

/** `columns` of the channels of the same pixels' gradients, from one on: [step][columns]. */
static void packGradients(const char *pixel, int format, long channels, long column, long columns, long count,
                          int32_t *packed) {
  const long bytes = bytesPerPixel(format, channels);
  if (format != BFLOAT16) {
    for (long k = 0; k < count; k++, pixel += bytes, packed += columns)
      readFloats(pixel, format, channels, column, columns, (float *)packed);
    return;
  }
  for (long k = 0; k < count; k += 2, pixel += 2 * bytes, packed += columns) {
    const uint16_t *first = (const uint16_t *)pixel + column;
    const uint16_t *second = k + 1 < count ? (const uint16_t *)(pixel + bytes) + column : (const uint16_t *)zeroPixel;
    for (long c = 0; c < columns; c++) packed[c] = (int32_t)((uint32_t)first[c] | (uint32_t)second[c] << 16);
  }
}

/** Columns of the next product, of so many that are left, a multiple of LANES at first: what remains is 0, or LANES or more. */
static long outerColumns(long left) {
  const long rest = left - OUTER_COLUMNS;
  return rest == 0 || rest >= LANES ? OUTER_COLUMNS : LANES;
}

static void weightGradientPiece(void *data, long index) {
  const WeightGradient *g = data;
  const Context *context = g->context;
  const weightGradientCall *call = g->call;
  const int inputFormat = (int)call->inputFormat, format = (int)call->format;
  const long split = index % g->splits;
  const long tap = index / g->splits / g->channelBlocks;
  const long firstChannel = index / g->splits % g->channelBlocks * GRADIENT_CHANNELS;
  const long channels = minLong(GRADIENT_CHANNELS, g->inChannels - firstChannel);
  const long rows = g->kernel * g->kernel * g->inChannels;
  const char *x = TENSOR(char, x) + firstChannel * bytesPerValue(inputFormat);
  const long pixelBytes = g->inChannels * bytesPerValue(inputFormat);
  const char *dy = TENSOR(char, dy);
  float *dw = TENSOR(float, dw) + (split * rows + tap * g->inChannels + firstChannel) * g->outChannels;

  const long perStep = format == BFLOAT16 ? 2 : 1;
  const long packedInputs = GRADIENT_CHANNELS / OUTER_ROWS * BLOCK_STRIDE;
  int32_t *a = scratch(sizeof(int32_t) * (size_t)(packedInputs + OUTER_COLUMNS * GRADIENT_PIXELS));
  int32_t *b = a + packedInputs;
  const long first = split * g->pixelsPerSplit;
  const long end = minLong(g->pixels, first + g->pixelsPerSplit);
  if (first >= end) {
    for (long c = 0; c < channels; c++) memset(dw + c * g->outChannels, 0, sizeof(float) * (size_t)g->outChannels);
  }
  for (long start = first; start < end; start += GRADIENT_PIXELS) {
    const long count = minLong(GRADIENT_PIXELS, end - start);
    const long depth = packInputs(walkFrom(g, x, pixelBytes, start, tap), inputFormat, perStep, count, channels, a);
    for (long column = 0, columns; column < g->outChannels; column += columns) {
      columns = outerColumns(g->outChannels - column);
      const char *gradients = dy + start * bytesPerPixel(format, g->outChannels);
      packGradients(gradients, format, g->outChannels, column, columns, count, b);
      const OuterFunction outer = outerFunction(format, columns);
      for (long c = 0; c < channels; c += OUTER_ROWS)
        outer(a + c / OUTER_ROWS * BLOCK_STRIDE, b, depth, dw + c * g->outChannels + column, g->outChannels, start > first);
    }
  }
}

/** dw [splits][taps · inChannels, outChannels]: the sum over splits is the gradient. */
void weightGradient(const Context *context, const weightGradientCall *call) {
  WeightGradient g = {
    .context = context, .call = call,
    .inHeight = (long)call->inHeight, .inWidth = (long)call->inWidth,
    .inChannels = (long)call->inChannels, .outHeight = (long)call->outHeight, .outWidth = (long)call->outWidth,
    .outChannels = (long)call->outChannels, .kernel = (long)call->kernel, .stride = (long)call->stride,
    .padding = (long)call->padding, .splits = (long)call->splits,
  };
  g.channelBlocks = ceilDivide(g.inChannels, GRADIENT_CHANNELS);
  g.pixels = (long)call->batch * g.outHeight * g.outWidth;
  g.pixelsPerSplit = ceilDivide(ceilDivide(g.pixels, g.splits), GRADIENT_PIXELS) * GRADIENT_PIXELS;
  parallel(context->pool, g.kernel * g.kernel * g.channelBlocks * g.splits, weightGradientPiece, &g);
}
