/* llama.cpp through its C API: prompt processing and greedy decoding of random token ids.
 *
 *   llamacpp bench MODEL THREADS PROMPT[,PROMPT...] DECODE REPETITIONS
 *   llamacpp quantize IN OUT FTYPE THREADS         FTYPE: 0 F32, 1 F16, 2 Q4_0, 7 Q8_0
 *
 * One JSON object a line. Decoding continues from the last prompt; times are milliseconds (median, min, max). */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "ggml-backend.h"
#include "llama.h"

enum { MAX_TOKENS = 4096 };

static double now_ms(void) { return llama_time_us() / 1e3; }

static int by_value(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* Sorts v and returns its median. */
static double median(double *v, int n) {
	qsort(v, n, sizeof *v, by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double peak_rss_gb(void) {
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return r.ru_maxrss / 1048576.0;
}

static void errors_only(enum ggml_log_level level, const char *text, void *unused) {
	(void)unused;
	if (level == GGML_LOG_LEVEL_ERROR || strstr(text, "loaded CPU backend")) fputs(text, stderr);
}

static llama_token argmax(const float *logits, int n) {
	int best = 0;
	for (int i = 1; i < n; i++)
		if (logits[i] > logits[best]) best = i;
	return best;
}

static int bench(char **arg) {
	const char *path = arg[0];
	int threads = atoi(arg[1]), decode = atoi(arg[3]), repetitions = atoi(arg[4]);
	if (threads < 1 || decode < 0 || decode > MAX_TOKENS || repetitions < 1 || repetitions > MAX_TOKENS) {
		fprintf(stderr, "llamacpp: counts out of range\n");
		return 2;
	}
	struct llama_model_params mp = llama_model_default_params();
	mp.n_gpu_layers = 0;
	struct llama_model *model = llama_model_load_from_file(path, mp);
	if (!model) return 1;
	int vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
	double gb = llama_model_size(model) / 1e9;

	struct llama_context_params cp = llama_context_default_params();
	cp.n_ctx = cp.n_batch = MAX_TOKENS;
	cp.n_ubatch = 512;
	cp.n_threads = cp.n_threads_batch = threads;
	cp.no_perf = 1;
	struct llama_context *ctx = llama_init_from_model(model, cp);
	if (!ctx) return 1;

	static llama_token tokens[MAX_TOKENS];
	static double ms[MAX_TOKENS];
	srand(7);
	int prompt = 0;
	for (char *p = strtok(arg[2], ","); p; p = strtok(NULL, ",")) {
		prompt = atoi(p);
		if (prompt < 1 || prompt > MAX_TOKENS) {
			fprintf(stderr, "llamacpp: prompt length out of range\n");
			return 2;
		}
		for (int r = -1; r < repetitions; r++) { /* the first one warms up */
			for (int i = 0; i < prompt; i++) tokens[i] = rand() % (vocab - 10) + 5;
			llama_memory_clear(llama_get_memory(ctx), 1);
			double t = now_ms();
			if (llama_decode(ctx, llama_batch_get_one(tokens, prompt))) return 1;
			llama_synchronize(ctx);
			if (r >= 0) ms[r] = now_ms() - t;
		}
		double mid = median(ms, repetitions);
		printf("{\"engine\":\"llama.cpp\",\"model\":\"%s\",\"phase\":\"prefill\",\"tokens\":%d,\"ms\":%.2f,\"min\":%.2f,\"max\":%.2f,\"tokens_per_s\":%.2f}\n",
			path, prompt, mid, ms[0], ms[repetitions - 1], prompt * 1e3 / mid);
		fflush(stdout);
	}
	if (decode > 0) {
		llama_token next = argmax(llama_get_logits_ith(ctx, -1), vocab);
		for (int i = 0; i < decode; i++) {
			double t = now_ms();
			if (llama_decode(ctx, llama_batch_get_one(&next, 1))) return 1;
			next = argmax(llama_get_logits_ith(ctx, -1), vocab);
			ms[i] = now_ms() - t;
		}
		double mid = median(ms, decode);
		printf("{\"engine\":\"llama.cpp\",\"model\":\"%s\",\"phase\":\"decode\",\"after\":%d,\"tokens\":%d,\"ms\":%.2f,\"min\":%.2f,\"max\":%.2f,\"tokens_per_s\":%.2f,\"weights_gb\":%.4f,\"gb_per_s\":%.2f,\"peak_rss_gb\":%.2f}\n",
			path, prompt, decode, mid, ms[0], ms[decode - 1], 1e3 / mid, gb, gb * 1e3 / mid, peak_rss_gb());
	}
	return 0;
}

static int quantize(char **arg) {
	struct llama_model_quantize_params q = llama_model_quantize_default_params();
	q.ftype = atoi(arg[2]);
	q.nthread = atoi(arg[3]);
	q.allow_requantize = 1;
	q.pure = 1;
	return llama_model_quantize(arg[0], arg[1], &q) != 0;
}

int main(int argc, char **argv) {
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 64);
	if (n < 0) return 1;
	self[n] = 0;
	llama_log_set(errors_only, NULL);
	ggml_log_set(errors_only, NULL);
	ggml_backend_load_all_from_path(strcat(dirname(self), "/package/bins/linux-x64"));
	llama_backend_init();
	if (argc == 7 && !strcmp(argv[1], "bench")) return bench(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "quantize")) return quantize(argv + 2);
	fprintf(stderr, "usage: llamacpp bench MODEL THREADS PROMPT[,PROMPT...] DECODE REPETITIONS\n"
		"       llamacpp quantize IN OUT FTYPE THREADS\n");
	return 2;
}
