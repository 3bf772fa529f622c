/*
 * Implicit matrix products whose rows are gathered pixel by pixel: convolutions and the head forward, the gradients of their
 * inputs, and those of mask bits.
 */
#include "tiles.h"

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
  Vector totals[TILE_ROWS * PANEL / VECTOR];
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
      const float *gradients[TILE_ROWS];
      for (long r = 0; r < TILE_ROWS; r++) {
        // Rows beyond the last read zeros, so that any gradient will do.
        const long target = block.targets[minLong(n * TILE_ROWS + r, block.count - 1)];
        const char *pixel = m->dy + target * gradientBytes;
        gradients[r] = (const float *)pixel + panel * PANEL;
        if (m->format == FLOAT32) continue;
        readFloats(pixel, m->format, stride, panel * PANEL, columns, converted[r]);
        gradients[r] = converted[r];
      }
      arguments.pixels = block.pixels + n * g->pass->taps * TILE_ROWS;
      (columns == PANEL ? maskTile : narrowMaskTile)(&arguments, m->segmentDepth, gradients, sums + panel * PANEL, stride);
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
