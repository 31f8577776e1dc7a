print('nan nan')
