while True:
    print('*' * 1000)
