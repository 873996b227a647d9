# Detections over HTTP without MXNet: what `dsod_d2l export` wrote, run by onnxruntime.
#
#   docker build -f docker/detector.Dockerfile -t dsod-detector .
#   docker run --rm --network host -v "$PWD/a.onnx:/a.onnx:ro" dsod-detector
#
# The service listens on 127.0.0.1 alone: --network host makes that the machine's own. Another
# command, such as `detect`, follows the name of the image.
FROM python:3.13-slim
RUN useradd --create-home reader
WORKDIR /app
COPY requirements.txt pyproject.toml setup.py _config.yml README.md LICENSE* ./
COPY dsod_d2l dsod_d2l
COPY data/samples data/samples
# The pins of the book, of the few packages that a detector needs.
RUN grep -E '^(numpy|opencv-python-headless|Pillow|matplotlib|safetensors|tqdm|tabulate|packaging|requests|onnx|onnxruntime|fastapi|uvicorn|python-multipart)==' requirements.txt > pins.txt \
    && pip install --no-cache-dir -r pins.txt \
    && pip install --no-cache-dir --no-deps .
USER reader
ENTRYPOINT ["python", "-m", "dsod_d2l"]
CMD ["serve", "--weights", "/a.onnx", "--port", "8000"]
