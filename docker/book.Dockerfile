# The book with all that it needs, in JupyterLab.
#
#   docker build -f docker/book.Dockerfile -t dsod-book .
#   docker run --rm -it -p 127.0.0.1:8888:8888 dsod-book
#
# Open the address that it prints. Neither needs a GPU, nor finds one.
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends git make libgomp1 libquadmath0 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home reader
WORKDIR /book
RUN chown reader /book
USER reader
COPY --chown=reader . .
RUN make env data
ENV PYTHONPATH=/book
CMD [".venv/bin/jupyter", "lab", "--ip", "0.0.0.0", "--notebook-dir", "book"]
