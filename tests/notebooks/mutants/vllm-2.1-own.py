"""Plausible wrong answers to vllm-2.1-own; each must lose points. Most reuse servers that run already."""

HEAD = "from servelab.engines import vllm\n\n\ndef start(n):\n"

MUTANTS = {
    "starts with the course's defaults": HEAD + "    return vllm()\n",
    "takes a flag vLLM does not have": HEAD
    + '    return vllm(max_batch_size=n, max_model_len=512, api_key="taipei-101")\n',
    "forgets to return the server": HEAD + '    vllm(max_num_seqs=n, max_model_len=512, api_key="taipei-101")\n',
    "returns the address": HEAD + '    return vllm(max_num_seqs=n, max_model_len=512, api_key="taipei-101").url\n',
    "forgets the key": HEAD + "    return vllm(max_num_seqs=n, max_model_len=512)\n",
    "forgets the length": HEAD + '    return vllm(max_num_seqs=n, api_key="taipei-101")\n',
}
