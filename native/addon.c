/*
 * What Node sees of the kernels: their names and arguments, memory, and a call that runs a program on a thread of its own.
 * Written against Node-API, so that one build serves every version of Node.
 */
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "xbm.h"

#if defined(__APPLE__) && !defined(MAP_ANONYMOUS)
#define MAP_ANONYMOUS MAP_ANON
#endif

typedef void (*Kernel)(const Context *, const void *);
static const struct { const char *name; Kernel run; size_t bytes; } kernels[] = {
#define KERNEL_ENTRY(name, ...) { #name, (Kernel)(void (*)(void))name, sizeof(name##Call) },
  KERNELS(KERNEL_ENTRY)
};
#define KERNEL_COUNT (sizeof kernels / sizeof kernels[0])

#define FIELD_NAME(name) #name,
#define NAME_LIST(name, ...) static const char *const name##Names[] = { MAP(FIELD_NAME, __VA_ARGS__) NULL };
KERNELS(NAME_LIST)
RECORDS(NAME_LIST)
static const char *const stepNames[] = { STEP_VALUES(FIELD_NAME) NULL };
#define VALUE_NAME(constant, name) #name,
#define VALUE_LIST(argument, VALUES) static const char *const argument##Values[] = { VALUES(VALUE_NAME) NULL };
ENUM_ARGUMENTS(VALUE_LIST)
static const char *const coefficientNames[] = { COEFFICIENTS(VALUE_NAME) NULL };

#define CHECK(call) \
  do { \
    if ((call) != napi_ok) { \
      napi_throw_error(env, NULL, "native addon: " #call " failed"); \
      return NULL; \
    } \
  } while (0)

static napi_value nameList(napi_env env, const char *const *names) {
  napi_value list;
  CHECK(napi_create_array(env, &list));
  for (uint32_t i = 0; names[i]; i++) {
    napi_value name;
    CHECK(napi_create_string_utf8(env, names[i], NAPI_AUTO_LENGTH, &name));
    CHECK(napi_set_element(env, list, i, name));
  }
  return list;
}

static napi_value onlyArgument(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  CHECK(napi_get_cb_info(env, info, &count, &argument, NULL, NULL));
  return argument;
}

typedef struct {
  void *memory;
  size_t bytes;
} Region;

static void freeRegion(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  Region *region = hint;
  munmap(region->memory, region->bytes);
  free(region);
}

/**
 * allocate(bytes, visible): zeros, or null where there is not that much memory. The ArrayBuffer shows the first `visible`
 * bytes, since versions of Node have different limits for one; kernels reach all of them.
 */
static napi_value allocate(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], buffer;
  double bytes, visible;
  CHECK(napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  CHECK(napi_get_value_double(env, arguments[0], &bytes));
  CHECK(napi_get_value_double(env, arguments[1], &visible));
  Region *region = malloc(sizeof *region);
  if (region) {
    region->bytes = (size_t)bytes;
    region->memory = mmap(NULL, region->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (!region || region->memory == MAP_FAILED) {
    free(region);
    CHECK(napi_get_null(env, &buffer));
    return buffer;
  }
#if defined(MADV_HUGEPAGE)
  madvise(region->memory, region->bytes, MADV_HUGEPAGE);
#endif
  if (napi_create_external_arraybuffer(env, region->memory, (size_t)visible, freeRegion, region, &buffer) != napi_ok) {
    freeRegion(env, NULL, region);
    napi_throw_error(env, NULL, "native addon: Node refuses a buffer of that size");
    return NULL;
  }
  return buffer;
}

static void freePool(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  struct Pool **pool = data;
  poolDestroy(*pool);
  free(pool);
}

/** createPool(threads): a handle for run; closePool ends its threads. */
static napi_value createPool(napi_env env, napi_callback_info info) {
  napi_value handle;
  int32_t threads;
  CHECK(napi_get_value_int32(env, onlyArgument(env, info), &threads));
  struct Pool **pool = malloc(sizeof *pool);
  if (pool) *pool = poolCreate(threads);
  if (!pool || !*pool) {
    free(pool);
    napi_throw_error(env, NULL, "native addon: no memory for a thread pool");
    return NULL;
  }
  CHECK(napi_create_external(env, pool, freePool, NULL, &handle));
  return handle;
}

static napi_value closePool(napi_env env, napi_callback_info info) {
  struct Pool **pool;
  CHECK(napi_get_value_external(env, onlyArgument(env, info), (void **)&pool));
  poolDestroy(*pool);
  *pool = NULL;
  return NULL;
}

typedef struct {
  Context context;
  const double *program;
  size_t length;
  /** Seconds by call, or NULL. */
  double *times;
  napi_deferred deferred;
  napi_async_work work;
  napi_ref references[5];
} Run;

/** Runs that are not done. */
static atomic_int activeRuns;

/** A process that exits in the middle of a run would free the memory it works on. */
static void awaitRuns(void *data) {
  (void)data;
  while (atomic_load(&activeRuns) > 0) nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/** A program is a list of [kernel, length of the rest, arguments …]. */
static void execute(napi_env env, void *data) {
  (void)env;
  Run *run = data;
  long call = 0;
  for (size_t i = 0; i < run->length; call++) {
    const size_t kernel = (size_t)run->program[i], length = (size_t)run->program[i + 1];
    const double start = run->times ? seconds() : 0;
    kernels[kernel].run(&run->context, run->program + i + 2);
    if (run->times) run->times[call] += seconds() - start;
    i += 2 + length;
  }
  atomic_fetch_sub(&activeRuns, 1);
}

static void freeRun(napi_env env, Run *run) {
  for (int i = 0; i < 5; i++)
    if (run->references[i]) napi_delete_reference(env, run->references[i]);
  if (run->work) napi_delete_async_work(env, run->work);
  free(run);
}

static void complete(napi_env env, napi_status status, void *data) {
  Run *run = data;
  napi_value nothing;
  napi_get_undefined(env, &nothing);
  if (status == napi_cancelled) atomic_fetch_sub(&activeRuns, 1); // it never started
  if (status == napi_ok) napi_resolve_deferred(env, run->deferred, nothing);
  else napi_reject_deferred(env, run->deferred, nothing);
  freeRun(env, run);
}

/** Hands a run to a thread of Node's; its arguments live until it is done. */
static int enqueue(napi_env env, Run *run, const napi_value arguments[5]) {
  napi_value name;
  for (int i = 0; i < 5; i++) {
    if (i == 4 && !run->times) continue;
    if (napi_create_reference(env, arguments[i], 1, &run->references[i]) != napi_ok) return 0;
  }
  if (napi_create_string_utf8(env, "xbm native run", NAPI_AUTO_LENGTH, &name) != napi_ok) return 0;
  if (napi_create_async_work(env, NULL, name, execute, complete, run, &run->work) != napi_ok) return 0;
  atomic_fetch_add(&activeRuns, 1);
  if (napi_queue_async_work(env, run->work) == napi_ok) return 1;
  atomic_fetch_sub(&activeRuns, 1);
  return 0;
}

/** The number of calls of a program; −1 where a kernel is unknown, or its arguments are cut short. */
static long countCalls(const double *program, size_t length) {
  long calls = 0;
  for (size_t i = 0; i < length; calls++) {
    if (i + 2 > length || !(program[i] >= 0 && program[i] < KERNEL_COUNT)) return -1;
    const double rest = program[i + 1];
    if (!(rest * sizeof(double) >= (double)kernels[(size_t)program[i]].bytes && rest <= (double)(length - i - 2))) return -1;
    i += 2 + (size_t)rest;
  }
  return calls;
}

/**
 * run(pool, arena, program, step, times): a promise that resolves when all calls are done. `program`, `step` and `times`
 * (or null) are Float64Arrays. Calls are checked for their kernel and length, not for what their numbers mean.
 */
static napi_value run(napi_env env, napi_callback_info info) {
  size_t count = 5;
  napi_value arguments[5], promise;
  CHECK(napi_get_cb_info(env, info, &count, arguments, NULL, NULL));
  struct Pool **pool;
  void *arena;
  double *numbers[3] = { NULL, NULL, NULL };
  size_t lengths[3] = { 0, 0, 0 };
  CHECK(napi_get_value_external(env, arguments[0], (void **)&pool));
  CHECK(napi_get_arraybuffer_info(env, arguments[1], &arena, NULL));
  for (int i = 0; i < 3; i++) {
    napi_valuetype type;
    CHECK(napi_typeof(env, arguments[2 + i], &type));
    if (type == napi_null) continue;
    CHECK(napi_get_typedarray_info(env, arguments[2 + i], NULL, &lengths[i], (void **)&numbers[i], NULL, NULL));
  }
  if (!*pool || !numbers[0] || lengths[1] != STEP_VALUE_COUNT) {
    napi_throw_error(env, NULL, "native addon: the pool is closed, or the step has other values");
    return NULL;
  }
  const long calls = countCalls(numbers[0], lengths[0]);
  if (calls < 0) {
    napi_throw_error(env, NULL, "native addon: malformed program");
    return NULL;
  }
  if (numbers[2] && lengths[2] < (size_t)calls) {
    napi_throw_error(env, NULL, "native addon: fewer times than calls");
    return NULL;
  }
  Run *work = calloc(1, sizeof *work);
  int isQueued = 0;
  if (work) {
    work->context = (Context){ .arena = arena, .pool = *pool, .step = numbers[1] };
    work->program = numbers[0];
    work->length = lengths[0];
    work->times = numbers[2];
    isQueued = napi_create_promise(env, &work->deferred, &promise) == napi_ok && enqueue(env, work, arguments);
  }
  if (isQueued) return promise;
  if (work) freeRun(env, work);
  napi_throw_error(env, NULL, "native addon: cannot start a run");
  return NULL;
}

static napi_value initialize(napi_env env, napi_value exports) {
  napi_value value, list;
  CHECK(napi_add_env_cleanup_hook(env, awaitRuns, NULL));
  const struct { const char *name; napi_callback callback; } functions[] = {
    { "allocate", allocate }, { "createPool", createPool }, { "closePool", closePool }, { "run", run },
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    CHECK(napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].callback, NULL, &value));
    CHECK(napi_set_named_property(env, exports, functions[i].name, value));
  }
  const struct { const char *name; int value; } facts[] = {
    { "lanes", LANES }, { "maxKernel", MAX_KERNEL }, { "maxValues", MAX_VALUES },
    { "gradientChannels", GRADIENT_CHANNELS }, { "hasInt8", HAS_INT8 }, { "hasBfloat16", HAS_BFLOAT16 },
    { "hasFixed16", HAS_FIXED16 }, { "fixed16Channels", FIXED16_CHANNELS },
    { "int8LevelLimit", INT8_LEVEL_LIMIT }, { "int8ProductLimit", INT8_PRODUCT_LIMIT },
    { "int8SumLimit", INT8_SUM_LIMIT },
  };
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
    CHECK(napi_create_int32(env, facts[i].value, &value));
    CHECK(napi_set_named_property(env, exports, facts[i].name, value));
  }
  CHECK(napi_create_string_utf8(env, INT8_NAME, NAPI_AUTO_LENGTH, &value));
  CHECK(napi_set_named_property(env, exports, "int8Name", value));
  CHECK(napi_create_array(env, &list));
  for (uint32_t i = 0; i < KERNEL_COUNT; i++) {
    CHECK(napi_create_string_utf8(env, kernels[i].name, NAPI_AUTO_LENGTH, &value));
    CHECK(napi_set_element(env, list, i, value));
  }
  CHECK(napi_set_named_property(env, exports, "kernels", list));
  CHECK(napi_create_object(env, &list));
#define SET_NAMES(name, ...) CHECK(napi_set_named_property(env, list, #name, nameList(env, name##Names)));
  KERNELS(SET_NAMES)
  CHECK(napi_set_named_property(env, exports, "arguments", list));
  CHECK(napi_create_object(env, &list));
  RECORDS(SET_NAMES)
  CHECK(napi_set_named_property(env, exports, "records", list));
  CHECK(napi_create_object(env, &list));
#define SET_VALUES(argument, VALUES) CHECK(napi_set_named_property(env, list, #argument, nameList(env, argument##Values)));
  ENUM_ARGUMENTS(SET_VALUES)
  CHECK(napi_set_named_property(env, exports, "enums", list));
  CHECK(napi_set_named_property(env, exports, "coefficients", nameList(env, coefficientNames)));
  CHECK(napi_set_named_property(env, exports, "stepValues", nameList(env, stepNames)));
  return exports;
}

NAPI_MODULE(NODE_GYP_MODULE_NAME, initialize)
